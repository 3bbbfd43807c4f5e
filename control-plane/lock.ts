// One command at a time changes what is here.
import { whileHolding } from './command.ts';
import type { Surroundings } from './surroundings.ts';

/** A backup of a full store takes minutes. */
const LIMIT_SECONDS = 600;
const PATIENCE_MS = 2_000;

/** Waits for its turn. */
export async function oneAtATime<T>(
  { places, disk, rootOwner, warn }: Pick<Surroundings, 'places' | 'disk' | 'rootOwner' | 'warn'>,
  work: () => Promise<T>,
): Promise<T> {
  // Whoever may open it may hold it.
  await disk.makeDirectory(places.lock, { mode: 0o700, owner: rootOwner });
  const waiting = setTimeout(
    () => warn('waiting for another vbs-control-plane that is at work here'),
    PATIENCE_MS,
  );
  try {
    return await whileHolding(places.lock, LIMIT_SECONDS, async () => {
      clearTimeout(waiting);
      return await work();
    });
  } finally {
    clearTimeout(waiting);
  }
}
