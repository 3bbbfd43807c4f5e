// Small JSON records on the host's own disk, one file each: what must survive a crash, a reboot and the API server. Every
// change is on the disk before it is used.
import { errorCode, type Files, isTemporary } from './exec/files.ts';

export class RecordStore<T> {
  readonly #files: Files;
  readonly #directory: string;
  readonly #records = new Map<string, T>();

  private constructor(files: Files, directory: string) {
    this.#files = files;
    this.#directory = directory;
  }

  /** Reads all records. Throws when one cannot be read: forgetting is worse than not starting. */
  static async open<T>(files: Files, directory: string): Promise<RecordStore<T>> {
    const store = new RecordStore<T>(files, directory);
    await makeDirectory(files, directory);
    for (const file of await files.list(directory)) {
      const id = /^([A-Za-z0-9][A-Za-z0-9.-]*)\.json$/.exec(file)?.[1];
      if (id !== undefined) {
        store.#records.set(id, await readRecord<T>(files, `${directory}/${file}`));
      } else if (isTemporary(file)) {
        // Of a write which a crash cut short; the record itself is the old or the new one, whole.
        await files.unlink(`${directory}/${file}`);
      }
    }
    return store;
  }

  get(id: string): T | undefined {
    return this.#records.get(id);
  }

  list(): readonly T[] {
    return [...this.#records.values()];
  }

  entries(): readonly (readonly [string, T])[] {
    return [...this.#records];
  }

  async put(id: string, record: T): Promise<void> {
    await this.#files.writeAtomic(this.#pathOf(id), `${JSON.stringify(record)}\n`, 0o600);
    this.#records.set(id, record);
  }

  async remove(id: string): Promise<void> {
    await this.#files.unlink(this.#pathOf(id)).catch((error) => {
      if (errorCode(error) !== 'ENOENT') {
        throw error;
      }
    });
    this.#records.delete(id);
  }

  #pathOf(id: string): string {
    if (!/^[A-Za-z0-9][A-Za-z0-9.-]*$/.test(id)) {
      throw new Error(`${JSON.stringify(id)} cannot name a record`);
    }
    return `${this.#directory}/${id}.json`;
  }
}

async function readRecord<T>(files: Files, path: string): Promise<T> {
  try {
    return JSON.parse(await files.read(path)) as T;
  } catch (error) {
    throw new Error(
      `${path} cannot be read; restore it from a backup, or move it away if its volume is gone`,
      {
        cause: error,
      },
    );
  }
}

export async function makeDirectory(files: Files, directory: string): Promise<void> {
  await files.mkdir(directory, 0o700).catch((error) => {
    if (errorCode(error) !== 'EEXIST') {
      throw error;
    }
  });
}
