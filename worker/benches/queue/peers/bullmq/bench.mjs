// BullMQ as one child process of the queue benchmark; `protocol.rs` tells what it is told and answers.
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { Queue, Worker } from "bullmq";

const names = ["mode", "redis-port", "queue", "jobs", "batch", "interval-ms", "permits", "payload-bytes"];
const { values } = parseArgs({
  options: {
    ...Object.fromEntries(names.map((name) => [name, { type: "string" }])),
    timestamps: { type: "boolean", default: false },
  },
});
const number = (name) => Number(values[name]);
const connection = { host: "127.0.0.1", port: number("redis-port") };
const input = createInterface({ input: process.stdin });
// A parent that is gone closes the pipe: nothing is left to measure for.
input.on("close", () => process.exit(0));
const lines = input[Symbol.asyncIterator]();

const say = (line) => new Promise((done) => process.stdout.write(`${line}\n`, done));
const unixMillis = () => performance.timeOrigin + performance.now();
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function enqueue() {
  const queue = new Queue(values.queue, { connection });
  await queue.waitUntilReady();
  const [jobs, batch, interval] = [number("jobs"), number("batch"), number("interval-ms")];
  const filler = "x".repeat(number("payload-bytes") - 10);
  const payload = (n) => `${String(n).padStart(10, "0")}${filler}`;
  await say("ready");
  await lines.next();
  const stamps = [];
  const started = performance.now();
  for (let first = 0; first < jobs; first += batch) {
    if (values.timestamps) stamps.push([first, unixMillis()]);
    if (batch === 1) {
      await queue.add("deliver", payload(first));
    } else {
      const size = Math.min(batch, jobs - first);
      const bulk = (_, n) => ({ name: "deliver", data: payload(first + n) });
      await queue.addBulk(Array.from({ length: size }, bulk));
    }
    if (interval > 0) await pause(interval);
  }
  await say(JSON.stringify({ jobs, seconds: (performance.now() - started) / 1000, stamps }));
}

async function work() {
  const stamps = [];
  let jobs = 0;
  const handler = async (job) => {
    if (values.timestamps) stamps.push([Number(job.data.slice(0, 10)), unixMillis()]);
    jobs += 1;
  };
  const worker = new Worker(values.queue, handler, {
    connection,
    concurrency: number("permits"),
    // Nothing finished is kept; said here, it need not be stored with every job.
    removeOnComplete: { count: 0 },
    autorun: false,
  });
  worker.on("error", (error) => console.error(error.message));
  await worker.waitUntilReady();
  await say("ready");
  await lines.next();
  const started = performance.now();
  worker.run();
  await lines.next();
  await say(JSON.stringify({ jobs, seconds: (performance.now() - started) / 1000, stamps }));
}

await (values.mode === "work" ? work() : enqueue());
await lines.next();
process.exit(0);
