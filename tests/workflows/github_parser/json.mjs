// The packages import JSON files as bundlers do. Node wants the kind of file to be stated
// at each import, and gets a module in its place.
import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";
import { fileURLToPath } from "node:url";

registerHooks({
  load(url, context, next) {
    if (!url.endsWith(".json")) {
      return next(url, context);
    }
    const source = `export default ${readFileSync(fileURLToPath(url), "utf8")}`;
    return { format: "module", source, shortCircuit: true };
  },
});
