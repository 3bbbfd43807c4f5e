// fsync(2): what was written is on the disk; of a directory: what was made, renamed or removed in it is.
import { open } from 'node:fs/promises';

export async function sync(place: string): Promise<void> {
  const handle = await open(place, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
