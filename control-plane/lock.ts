// One command at a time changes what is here. The kernel lets go of the name when the process ends, however it ends.
import { createHash } from 'node:crypto';
import { createServer } from 'node:net';
import { ConfigError } from '../runtime/errors.ts';
import type { Surroundings } from './surroundings.ts';

const RETRY_MS = 500;
const LIMIT_MS = 600_000;

/** Waits for its turn. */
export async function oneAtATime<T>(
  { places, clock, tell }: Pick<Surroundings, 'places' | 'clock' | 'tell'>,
  work: () => Promise<T>,
): Promise<T> {
  const name = createHash('sha256').update(places.state).digest('hex').slice(0, 32);
  const giveUpMs = clock.monotonicMs() + LIMIT_MS;
  let unlock = await tryLock(name);
  if (unlock === undefined) {
    tell('waiting for another vbs-control-plane that is at work here');
  }
  while (unlock === undefined) {
    if (clock.monotonicMs() > giveUpMs) {
      throw new ConfigError(
        'another vbs-control-plane has been at work here for ten minutes; see ps -C vbs-control-plane',
      );
    }
    await clock.sleep(RETRY_MS);
    unlock = await tryLock(name);
  }
  try {
    return await work();
  } finally {
    unlock();
  }
}

const tryLock = (name: string): Promise<(() => void) | undefined> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(`\0vbs-control-plane-${name}`, () => resolve(() => server.close()));
  });
