import { webhooksPart } from "/webhooks.js";

// The fleet at a glance. The key is kept in this variable and nowhere else.
let key = null;
/** @type {Map<string, object>} */
const instances = new Map();
let follower = null;

const find = (selector, from = document) => from.querySelector(selector);
const sections = ["sign-in", "instances", "instance", "queue", "webhooks", "health"];

/** An element with text in it; text is never read as markup. */
function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  return made;
}

function tell(text) {
  const notice = find("#notice");
  notice.textContent = text;
  notice.hidden = text === "";
}

async function ask(method, path, body) {
  const headers = { Accept: "application/json" };
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET") headers["Idempotency-Key"] = crypto.randomUUID();
  const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  if (answer.status === 204) return null;
  const told = await answer.json();
  if (answer.ok) return told;
  if (answer.status === 401) signOut();
  const problems = (told.error.validationErrors ?? []).map((problem) => problem.message);
  throw new Error([told.error.message, ...problems].join(" · "));
}

function signOut() {
  key = null;
  follower?.abort();
  show("sign-in");
}

/** Runs what a click asks for, and tells when it fails. */
const trying = (work) => async (event) => {
  event?.preventDefault();
  tell("");
  try {
    await work(event);
  } catch (error) {
    tell(error.message);
  }
};

function show(name) {
  for (const section of sections) find(`#${section}`).hidden = section !== name;
  for (const link of document.querySelectorAll("nav a")) {
    link.toggleAttribute("aria-current", link.getAttribute("href") === `#${name}`);
  }
}

const when = (text) => (text ? new Date(text).toLocaleString() : "–");
const dollars = (text) => (text === undefined ? "–" : Number(text).toFixed(4));

function tone(status) {
  if (status === "ready" || status === "running") return "good";
  return ["failed", "reclaimed"].includes(status) ? "bad" : "";
}

/** Asks the person; resolves to whether the answer is yes. */
function confirmed(question) {
  const dialog = find("#ask");
  find("p", dialog).textContent = question;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

function action(instance, verb, question, method, path) {
  const attributes = { type: "button", "aria-label": `${verb} ${instance.name}` };
  const button = element("button", verb, attributes);
  if (verb === "Delete") button.className = "danger";
  button.addEventListener("click", trying(async () => {
    if (!(await confirmed(question))) return;
    await ask(method, path);
    await load(instance.id);
  }));
  return button;
}

function actions(instance) {
  const cell = document.createElement("td");
  const path = `/api/instances/${encodeURIComponent(instance.id)}`;
  const { name, status } = instance;
  if (["stopped"].includes(status)) {
    cell.append(action(instance, "Start", `Start ${name}? It costs money from then on.`, "POST", `${path}/start`));
  }
  if (["running", "ready", "health_checking", "starting"].includes(status)) {
    cell.append(action(instance, "Stop", `Stop ${name}?`, "POST", `${path}/stop`));
  }
  if (!["deleting", "terminated"].includes(status)) {
    const question = `Delete ${name}, with everything on its disk? This cannot be undone.`;
    cell.append(" ", action(instance, "Delete", question, "DELETE", path));
  }
  return cell;
}

function row(instance) {
  const line = element("tr", "", { "data-id": instance.id });
  const name = element("td");
  name.append(element("a", instance.name, { href: `#instance/${instance.id}` }));
  line.append(
    name,
    element("td", instance.status, { class: tone(instance.status) }),
    element("td", `${instance.gpuNum} × ${instance.productName}`),
    element("td", instance.region ?? "–"),
    element("td", dollars(instance.pricePerHour), { class: "number" }),
    element("td", dollars(instance.costSoFar), { class: "number" }),
    element("td", when(instance.lastUsedAt)),
    actions(instance),
  );
  return line;
}

function drawFleet() {
  const all = [...instances.values()].sort((a, b) => b.createdAt.localeCompare(a.createdAt));
  find("#instances tbody").replaceChildren(...all.map(row));
  const sum = (member) => all.reduce((total, one) => total + Number(one[member] ?? 0), 0);
  find("#totals").textContent =
    `${all.length} instances · $ ${sum("pricePerHour").toFixed(4)} per hour · $ ${sum("costSoFar").toFixed(2)} so far`;
}

/** Reads one instance anew, and the page that shows it. */
async function load(id) {
  const read = await ask("GET", `/api/instances/${encodeURIComponent(id)}`);
  if (read.status === "terminated") instances.delete(id);
  else instances.set(id, read);
  drawFleet();
  if (location.hash === `#instance/${id}`) await drawInstance(id, read);
}

function facts(list, pairs) {
  const parts = pairs.flatMap(([name, value]) =>
    value === undefined || value === null ? [] : [element("dt", name), element("dd", String(value))]);
  list.replaceChildren(...parts);
}

async function drawInstance(id, known) {
  const instance = known ?? await ask("GET", `/api/instances/${encodeURIComponent(id)}`);
  const section = find("#instance");
  find("h2", section).textContent = `${instance.name}: ${instance.status}`;
  facts(find("dl", section), [
    ["Id", instance.id],
    ["Novita id", instance.novitaInstanceId],
    ["Provider says", instance.providerStatus],
    ["Product", `${instance.gpuNum} × ${instance.productName}, ${instance.billingMode}`],
    ["Region", instance.region],
    ["Endpoints", instance.portMappings.map((port) => `${port.port} → ${port.endpoint}`).join(", ") || null],
    ["Health", instance.healthCheck?.overallStatus],
    ["$ per hour", instance.pricePerHour],
    ["$ so far", instance.costSoFar],
    ["Created", when(instance.createdAt)],
    ["Ready since", instance.readyAt && when(instance.readyAt)],
    ["Last used", instance.lastUsedAt && when(instance.lastUsedAt)],
    ["Data is kept until", instance.dataExpiresAt && when(instance.dataExpiresAt)],
    ["Webhooks go to", instance.webhookHost],
    ["Failed because", instance.failure?.message],
    ["Last setback", instance.lastError?.message],
    ["Operation", instance.operationId],
  ]);
  const { events } = await ask("GET", `/api/instances/${encodeURIComponent(id)}/events?limit=500`);
  const lines = events.map((event) => {
    const line = document.createElement("li");
    line.append(element("time", `${when(event.at)} `), element("strong", event.type), ` ${event.reason}`);
    return line;
  });
  find("ol", section).replaceChildren(...lines);
  show("instance");
}

async function drawQueue() {
  const [stats, dead] = await Promise.all([
    ask("GET", "/api/jobs/stats"),
    ask("GET", "/api/jobs?state=dead&limit=100"),
  ]);
  facts(find("#queue dl"), [
    ["Due", stats.due], ["Worked on", stats.leased], ["Later", stats.delayed],
    ["Paused", stats.paused], ["Dead", stats.dead], ["Oldest waits, ms", stats.oldestDueMs],
    ["Paused kinds", stats.pausedScopes.join(", ") || null],
  ]);
  const workers = stats.workers.map((worker) =>
    element("li", `${worker.session}: ${worker.alive ? "alive" : "gone"}, ${worker.running} of ${worker.permits} busy, ${worker.version}`));
  find("#workers").replaceChildren(...workers);
  find("#no-dead").hidden = dead.jobs.length > 0;
  const lines = dead.jobs.map((job) => {
    const line = element("li", `${job.id}: ${job.errors.at(-1) ?? "no error"} `);
    const retry = element("button", "Retry", { type: "button", "aria-label": `Retry ${job.id}` });
    retry.addEventListener("click", trying(async () => {
      await ask("POST", `/api/jobs/${encodeURIComponent(job.id)}/retry`);
      await drawQueue();
    }));
    line.append(retry);
    return line;
  });
  find("#dead").replaceChildren(...lines);
  show("queue");
}

async function drawHealth() {
  find("#health pre").textContent = JSON.stringify(await ask("GET", "/health"), null, 2);
  show("health");
}

const drawWebhooks = webhooksPart({ find, element, ask, trying, tell, confirmed, when, show });

const route = trying(async () => {
  const [name, id] = location.hash.slice(1).split("/");
  if (name === "queue") return drawQueue();
  if (name === "webhooks") return drawWebhooks();
  if (name === "health") return drawHealth();
  if (name === "instance" && id) return drawInstance(decodeURIComponent(id));
  drawFleet();
  show("instances");
});

/** Reads events as they happen, and begins again after a pause when it is cut off. */
async function follow() {
  follower?.abort();
  const mine = new AbortController();
  follower = mine;
  let last = null;
  while (!mine.signal.aborted) {
    try {
      const headers = { Accept: "text/event-stream" };
      if (key) headers.Authorization = `Bearer ${key}`;
      if (last) headers["Last-Event-ID"] = last;
      const answer = await fetch("/api/events", { headers, signal: mine.signal });
      if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
      find("#live").textContent = "live";
      last = (await read(answer.body, last)) ?? last;
    } catch (error) {
      if (mine.signal.aborted) return;
    }
    find("#live").textContent = "connecting…";
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}

/** Reads one stream to its end; gives the id that was told last. */
async function read(body, last) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return last;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const field = (name) => block.split("\n").find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      last = field("id") ?? last;
      const data = field("data");
      if (data && field("event") !== "gap") await load(JSON.parse(data).instanceId).catch(() => {});
      if (field("event") === "gap") await loadAll();
    }
  }
}

async function loadAll() {
  const { instances: all } = await ask("GET", "/api/instances");
  instances.clear();
  for (const instance of all) instances.set(instance.id, instance);
  drawFleet();
}

async function begin() {
  await loadAll();
  follow();
  await route();
}

find("#sign-in form").addEventListener("submit", trying(async (event) => {
  key = new FormData(event.target).get("key");
  event.target.reset();
  await begin();
}));

find("#create").addEventListener("click", () => find("#new").showModal());

find("#new form").addEventListener("submit", trying(async (event) => {
  const dialog = find("#new");
  if (event.submitter?.value === "no") return dialog.close();
  const body = Object.fromEntries([...new FormData(event.target)].filter(([, value]) => value !== ""));
  const made = await ask("POST", "/api/instances", body);
  dialog.close();
  event.target.reset();
  await load(made.instanceId);
}));

window.addEventListener("hashchange", route);
begin().catch((error) => (key ? tell(error.message) : show("sign-in")));
