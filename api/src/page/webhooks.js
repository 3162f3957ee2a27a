// What became of webhooks, and doing them over.
const DAY_MS = 24 * 60 * 60 * 1000;
const PATH = "/api/webhooks";

/**
 * Makes what draws this part of the page, out of what the page has for all of its parts.
 * @param {object} page find, element, ask, trying, tell, confirmed, when and show of the page
 */
export function webhooksPart({ find, element, ask, trying, tell, confirmed, when, show }) {
  const section = find("#webhooks");
  const fate = find("select", section);
  let before = null;

  function row(delivery) {
    const line = element("tr", "", { "data-id": delivery.id });
    const again = element("button", "Replay", {
      type: "button", "aria-label": `Replay delivery ${delivery.id}`,
    });
    again.addEventListener("click", trying(async () => {
      await ask("POST", `${PATH}/deliveries/${delivery.id}/replay`);
      tell(`${delivery.eventId} is due once more.`);
    }));
    const said = delivery.reason ?? (delivery.status ? `HTTP ${delivery.status}` : "–");
    const bad = !["delivered", "scheduled"].includes(delivery.fate);
    const last = element("td");
    last.append(again);
    line.append(
      element("td", when(delivery.at)),
      element("td", delivery.type ?? "–"),
      element("td", delivery.instanceId ?? "–"),
      element("td", delivery.receiver ?? "–"),
      element("td", delivery.fate, { class: bad ? "bad" : "good" }),
      element("td", String(delivery.attempt), { class: "number" }),
      element("td", delivery.nextAttemptAt ? `${said}, next ${when(delivery.nextAttemptAt)}` : said),
      last,
    );
    return line;
  }

  async function more() {
    const query = new URLSearchParams({ limit: "50" });
    if (fate.value) query.set("fate", fate.value);
    if (before) query.set("before", before);
    const { deliveries, next } = await ask("GET", `${PATH}/deliveries?${query}`);
    find("tbody", section).append(...deliveries.map(row));
    before = next ?? null;
    find("#more-webhooks").hidden = before === null;
  }

  async function draw() {
    before = null;
    find("tbody", section).replaceChildren();
    await more();
    show("webhooks");
  }

  fate.addEventListener("change", trying(draw));
  find("#more-webhooks").addEventListener("click", trying(more));

  find("#replay-webhooks").addEventListener("click", trying(async () => {
    if (!(await confirmed("Deliver everything once more that nobody got since yesterday?"))) return;
    const from = new Date(Date.now() - DAY_MS).toISOString();
    const { replayed, remaining } = await ask("POST", `${PATH}/deliveries/replay`, { from });
    tell(`${replayed} are due, ${remaining} more are left.`);
  }));

  find("form", section).addEventListener("submit", trying(async (event) => {
    const url = new FormData(event.target).get("url");
    const { eventId } = await ask("POST", `${PATH}/test`, url ? { url } : {});
    tell(`The test ${eventId} is due; what becomes of it is listed here.`);
  }));

  return draw;
}
