// How a client program is led: a line on standard input names the next step, a line of JSON on standard output is what the
// step returned; the first line says "connected". Any error, also one of an idle connection, ends the program with a status.
import { createInterface } from 'node:readline';

export function fail(error) {
  console.error(error);
  process.exit(1);
}

export async function follow(steps) {
  process.on('unhandledRejection', fail);
  console.log('"connected"');
  for await (const name of createInterface({ input: process.stdin })) {
    const result = await steps[name]().catch(fail);
    console.log(JSON.stringify(result ?? null));
  }
}
