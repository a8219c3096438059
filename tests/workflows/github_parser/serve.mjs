// Answers one question a line: what is wrong with a workflow or an action, or what an
// expression evaluates to. GitHub's own packages decide; nothing is decided here.
import "./json.mjs";
import { createInterface } from "node:readline";

const { data, Evaluator, Lexer, Parser } = await import("@actions/expressions");
const { truthy } = await import("@actions/expressions/result");
const { registerLogger, validate } = await import("@actions/languageservice");
const { clearCache } = await import("@actions/languageservice/utils/workflow-cache");
const { ensureStatusFunction } = await import(
  "@actions/workflow-parser/model/converter/if-condition"
);
const { TextDocument } = await import("vscode-languageserver-textdocument");

// The validator logs what went wrong inside itself, and goes on: here that is an error.
const errors = [];
registerLogger({ error: (message) => errors.push(message), warn() {}, info() {}, log() {} });

async function diagnose({ path, text, actions, files }) {
  errors.length = 0;
  clearCache(); // it is by the path alone
  const found = await validate(TextDocument.create(path, "yaml", 1, text), {
    actionsMetadataProvider: {
      fetchActionMetadata: async ({ owner, name, path: below, ref }) =>
        actions[[owner, name, below].filter(Boolean).join("/") + "@" + ref],
    },
    fileProvider: {
      getFileContent: async ({ path: name }) => {
        if (!(name in files)) {
          throw new Error(`there is no ${name}`);
        }
        return { name, content: files[name] };
      },
    },
  });
  const lines = found.map(({ message, range }) => `line ${range.start.line + 1}: ${message}`);
  return [...lines, ...errors];
}

function evaluate({ expression, condition, contexts, states, files }) {
  const status = ["success", "failure", "cancelled", "always"].map((name) => ({
    name,
    minArgs: 0,
    maxArgs: 0,
    call: () => new data.BooleanData(states[name] ?? name === "always"),
  }));
  const hashFiles = {
    name: "hashFiles",
    minArgs: 1,
    maxArgs: 255,
    call: ({ value }) => new data.StringData(files.includes(value) ? "a digest" : ""),
  };
  const functions = [...status, hashFiles];
  const names = Object.keys(contexts);
  const allowed = [...names, ...functions.map(({ name }) => `${name}(0,255)`)];
  const text = condition
    ? ensureStatusFunction(expression, { allowedContext: allowed })
    : expression;
  const parsed = new Parser(new Lexer(text).lex().tokens, names, functions).parse();
  const known = JSON.parse(JSON.stringify(contexts), data.reviver);
  const byName = new Map(functions.map((one) => [one.name.toLowerCase(), one]));
  const value = new Evaluator(parsed, known, byName).evaluate();
  return condition ? truthy(value) : value;
}

for await (const line of createInterface({ input: process.stdin })) {
  const { question, ...about } = JSON.parse(line);
  let answer;
  try {
    answer = { value: await { diagnose, evaluate }[question](about) };
  } catch (error) {
    answer = { error: String(error) };
  }
  process.stdout.write(JSON.stringify(answer, data.replacer) + "\n");
}
