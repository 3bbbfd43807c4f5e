import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * A TCP port on 127.0.0.1 that was free a moment ago. The kernel hands such ports out
 * in turn, so it is unlikely, not impossible, that another takes it first.
 */
export const freePort = async (): Promise<number> => {
  const port = await tryPort(0);
  if (port === undefined) {
    throw new Error('the kernel gave no port on 127.0.0.1');
  }
  return port;
};

/** As `freePort`, but between `lowest` and `highest`, picked at random. */
export const freePortBetween = async (lowest: number, highest: number): Promise<number> => {
  for (let round = 0; round < 100; round += 1) {
    const port = await tryPort(lowest + Math.floor(Math.random() * (highest - lowest + 1)));
    if (port !== undefined) {
      return port;
    }
  }
  throw new Error(`no free port on 127.0.0.1 between ${lowest} and ${highest}`);
};

const tryPort = async (wanted: number): Promise<number | undefined> => {
  const server = createServer();
  try {
    server.listen(wanted, '127.0.0.1');
    await once(server, 'listening');
  } catch {
    return undefined;
  }
  const address = server.address();
  server.close();
  await once(server, 'close');
  return address === null || typeof address === 'string' ? undefined : address.port;
};
