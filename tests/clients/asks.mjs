// Asks a service with the TypeScript client as stdin says, and prints what became of each request.
import { readFileSync } from "node:fs";

const { client, url, asks } = JSON.parse(readFileSync(0, "utf8"));
const { Recommender, Unanswered } = await import(client);
const outcomes = [];
for (const { method, ask, options } of asks) {
  try {
    outcomes.push({ answer: await new Recommender(url, options)[method](ask) });
  } catch (error) {
    if (error instanceof Unanswered) outcomes.push({ status: error.status, problem: error.problem });
    else outcomes.push({ lost: error.name });
  }
}
console.log(JSON.stringify(outcomes));
