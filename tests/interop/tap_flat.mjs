/* A reporter for Node's test runner: plain TAP without nesting, a line for each test. */
import { inspect } from "node:util";

export default async function* report(source) {
  let count = 0;
  const path = [];
  for await (const { type, data } of source) {
    if (type === "test:start") {
      path[data.nesting] = data.name;
      path.length = data.nesting + 1;
    } else if (type === "test:pass" || type === "test:fail") {
      const suite = data.details?.type === "suite";
      if (suite && type === "test:pass") {
        continue;
      }
      const name = [...path.slice(0, data.nesting), data.name].join(": ").replaceAll("#", "");
      const skip = data.skip === undefined ? "" : ` # SKIP ${data.skip === true ? "" : data.skip}`;
      yield `${type === "test:pass" ? "ok" : "not ok"} ${++count} - ${name}${skip}\n`;
      if (type === "test:fail") {
        yield inspect(data.details?.error?.cause ?? data.details?.error)
          .split("\n").map((line) => `# ${line}\n`).join("");
      }
    } else if (type === "test:stderr" || type === "test:stdout") {
      yield data.message.trimEnd().split("\n").map((line) => `# ${line}\n`).join("");
    }
  }
  yield `1..${count}\n`;
}
