// QEMU's machine protocol, as far as a test needs it: one command, one answer.

import { once } from 'node:events';
import { createConnection } from 'node:net';
import { createInterface } from 'node:readline';

interface QmpAnswer {
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
}

/** Runs one command on the machine behind the socket and answers what it returned; throws with QEMU's words. */
export const qmp = async (socket: string, execute: string, args: object = {}): Promise<unknown> => {
  const connection = createConnection(socket);
  try {
    await once(connection, 'connect');
    const say = (command: object) => connection.write(`${JSON.stringify(command)}\n`);
    say({ execute: 'qmp_capabilities' });
    say({ execute, arguments: args });
    const answers: QmpAnswer[] = [];
    for await (const line of createInterface({ input: connection })) {
      const message = JSON.parse(line) as QmpAnswer;
      if ('return' in message || 'error' in message) {
        answers.push(message);
      }
      const answer = answers[1];
      if (answer?.error !== undefined) {
        throw new Error(`QEMU refuses ${execute}: ${answer.error.desc}`);
      }
      if (answer !== undefined) {
        return answer.return;
      }
    }
    throw new Error(`QEMU did not answer ${execute}`);
  } finally {
    connection.destroy();
  }
};
