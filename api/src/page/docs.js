// Shows the OpenAPI document, one block per operation.

function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  return made;
}

const spec = await (await fetch("/openapi.json")).json();
document.querySelector("#about").textContent = spec.info.description;

/** What a schema says, references followed a little. */
function shape(schema, depth = 0) {
  if (!schema) return "";
  if (schema.$ref) {
    const name = schema.$ref.split("/").at(-1);
    return depth > 2 ? name : shape(spec.components.schemas[name], depth);
  }
  if (schema.allOf) return schema.allOf.map((part) => shape(part, depth)).join(" and ");
  if (schema.oneOf) return schema.oneOf.map((part) => shape(part, depth + 1)).join(" or ");
  if (schema.properties) {
    const lines = Object.entries(schema.properties).map(([name, part]) => {
      const mark = schema.required?.includes(name) ? "" : "?";
      return `${"  ".repeat(depth + 1)}${name}${mark}: ${shape(part, depth + 1)}`;
    });
    return `{\n${lines.join("\n")}\n${"  ".repeat(depth)}}`;
  }
  if (schema.items) return `[${shape(schema.items, depth)}]`;
  if (schema.enum) return schema.enum.map((word) => JSON.stringify(word)).join(" | ");
  const bounds = ["minimum", "maximum", "minLength", "maxLength", "default", "format"]
    .filter((name) => schema[name] !== undefined)
    .map((name) => `${name} ${schema[name]}`);
  return [[schema.type].flat().join(" | "), ...bounds].join(", ");
}

for (const [path, item] of Object.entries(spec.paths)) {
  for (const [method, operation] of Object.entries(item)) {
    const block = document.createElement("details");
    block.id = operation.operationId;
    const title = element("summary");
    title.append(element("code", `${method.toUpperCase()} ${path}`), ` ${operation.summary}`);
    block.append(title, element("p", operation.description ?? "Needs no key."));
    const list = document.createElement("dl");
    for (const parameter of operation.parameters ?? []) {
      const about = [shape(parameter.schema), parameter.description].filter(Boolean).join(" – ");
      list.append(element("dt", `${parameter.name} (${parameter.in})`), element("dd", about));
    }
    block.append(list);
    const body = operation.requestBody?.content?.["application/json"]?.schema;
    if (body) block.append(element("h3", "Body"), element("pre", shape(body)));
    for (const [status, answer] of Object.entries(operation.responses)) {
      const schema = answer.content?.["application/json"]?.schema;
      block.append(element("h3", `${status}: ${answer.description}`));
      if (schema && status < "400") block.append(element("pre", shape(schema)));
    }
    document.querySelector("#operations").append(block);
  }
}
