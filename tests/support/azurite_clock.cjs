// Loaded into Azurite before all else: a line "advance MS" on its standard input moves its clock,
// so that leases of fifteen seconds end at once. Answers "advanced" on its standard output.
"use strict";
const RealDate = Date;
let offset = 0;

class MovedDate extends RealDate {
  constructor(...args) {
    if (args.length === 0) {
      super(RealDate.now() + offset);
    } else {
      super(...args);
    }
  }
  static now() {
    return RealDate.now() + offset;
  }
}
globalThis.Date = MovedDate;

require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const match = /^advance (\d+)$/.exec(line);
  if (match) {
    offset += Number(match[1]);
    process.stdout.write("advanced\n");
  }
}).on("close", () => process.exit(0));
