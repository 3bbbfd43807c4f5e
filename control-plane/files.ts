// Files as the control plane writes them: whole or not at all, durable, with their owner and mode from the first moment on.
import * as fs from 'node:fs/promises';
import path from 'node:path';
import { sync } from '../runtime/sync.ts';

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

export interface FileRights {
  readonly mode: number;
  readonly owner: Owner;
}

export const ROOT_OWNER: Owner = { uid: 0, gid: 0 };

/** What of it changes something; handed in so that a test can let the machine die at any of them. */
export interface Disk {
  /** Undefined where there is none. */
  read(file: string): Promise<string | undefined>;
  /** When it was last written; undefined where there is none. */
  changedAt(file: string): Promise<Date | undefined>;
  /** Old or new text, never part of one. */
  write(file: string, text: string, rights: FileRights): Promise<void>;
  /** Of a file that is there. */
  setRights(file: string, rights: FileRights): Promise<void>;
  /** With this owner and mode, whether it is there or not. */
  makeDirectory(directory: string, rights: FileRights): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  remove(place: string): Promise<void>;
  /** Undefined where there is no such directory. */
  list(directory: string): Promise<readonly string[] | undefined>;
  /** All that is in it, and itself. */
  giveTo(directory: string, owner: Owner): Promise<void>;
  sync(place: string): Promise<void>;
}

const isAbsent = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ENOENT';

const orAbsent = async <T>(work: Promise<T>): Promise<T | undefined> => {
  try {
    return await work;
  } catch (error) {
    if (isAbsent(error)) {
      return undefined;
    }
    throw error;
  }
};

const write = async (file: string, text: string, { mode, owner }: FileRights): Promise<void> => {
  const temporary = path.join(path.dirname(file), `.${path.basename(file)}.tmp`);
  await fs.rm(temporary, { force: true });
  const handle = await fs.open(temporary, 'wx', 0o600);
  try {
    await handle.chown(owner.uid, owner.gid);
    await handle.chmod(mode);
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await fs.rename(temporary, file);
  await sync(path.dirname(file));
};

const setRights = async (place: string, { mode, owner }: FileRights): Promise<void> => {
  await fs.chown(place, owner.uid, owner.gid);
  await fs.chmod(place, mode);
};

const makeDirectory = async (directory: string, rights: FileRights): Promise<void> => {
  await fs.mkdir(directory, { recursive: true, mode: 0o755 });
  await setRights(directory, rights);
};

const giveTo = async (directory: string, owner: Owner): Promise<void> => {
  for (const entry of await fs.readdir(directory, { recursive: true, withFileTypes: true })) {
    await fs.lchown(path.join(entry.parentPath, entry.name), owner.uid, owner.gid);
  }
  await fs.chown(directory, owner.uid, owner.gid);
};

export const machineDisk: Disk = {
  read: async (file) => await orAbsent(fs.readFile(file, 'utf8')),
  changedAt: async (file) => (await orAbsent(fs.stat(file)))?.mtime,
  write,
  setRights,
  makeDirectory,
  rename: async (from, to) => {
    await fs.rename(from, to);
    await sync(path.dirname(to));
  },
  remove: async (place) => await fs.rm(place, { recursive: true, force: true }),
  list: async (directory) => (await orAbsent(fs.readdir(directory)))?.toSorted(),
  giveTo,
  sync,
};
