/** Entry point of a policy gate's process. Arguments: port, port of the DynamoDB server, file, principals as JSON. */
import { serveParent } from '#lib/local/parent.ts';
import { createGate } from '#lib/local/policy/policy-gate.ts';

const [port, target, file, principals] = process.argv.slice(2);
if (principals === undefined) throw new TypeError('usage: gate-process.ts PORT TARGET FILE PRINCIPALS');
createGate({ target: Number(target), file: file!, principals: JSON.parse(principals) }).listen(
  Number(port),
  '127.0.0.1',
  serveParent,
);
