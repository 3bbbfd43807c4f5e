/** File operations of the agent, handed in so that a simulated world can take their place. Failures carry Node's `code` (ENOENT …). */

import { createHash } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { sync } from '../../runtime/sync.ts';

export type FileKind = 'file' | 'directory' | 'symlink' | 'block' | 'other';

export interface FileStat {
  readonly kind: FileKind;
  readonly sizeBytes: bigint;
  /** What it really takes on the disk: less than the size for a sparse file. */
  readonly allocatedBytes: bigint;
  /** When its inode was last changed: written to, renamed, linked (st_ctime of stat(2)). */
  readonly changedAt: Date;
  readonly mode: number;
  readonly uid: number;
}

export interface SpaceBytes {
  readonly totalBytes: bigint;
  /** What an unprivileged writer may still take. */
  readonly freeBytes: bigint;
}

export interface Files {
  /** UTF-8 text of at most 1 MiB (EFBIG beyond). */
  read(path: string): Promise<string>;
  /** One write to a file that is made when absent; not durable by itself. */
  write(path: string, text: string, mode?: number): Promise<void>;
  /** Temporary file, fsync, rename, fsync of the directory: the old or the new text, never part of one. */
  writeAtomic(path: string, text: string, mode?: number): Promise<void>;
  mkdir(path: string, mode?: number): Promise<void>;
  rmdir(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** Makes the file if absent and grows it sparsely; never shrinks one (EINVAL). */
  extend(path: string, sizeBytes: bigint): Promise<void>;
  /** fsync of a file or a directory. */
  sync(path: string): Promise<void>;
  list(path: string): Promise<readonly string[]>;
  /** Does not follow a symbolic link. */
  stat(path: string): Promise<FileStat>;
  symlink(target: string, path: string): Promise<void>;
  readlink(path: string): Promise<string>;
  /** Paths matching a pattern whose segments may hold `*`. The directory before the first `*` must exist. */
  glob(pattern: string): Promise<readonly string[]>;
  space(path: string): Promise<SpaceBytes>;
  /**
   * Copies a range of a file or block device over a range of another one, which exists, and makes it durable. What is
   * zero in both is not written, so that sparse stays sparse. Answers the SHA-256 (hex) of what was read.
   */
  copyRange(from: string, to: string, range: CopiedRange, signal: AbortSignal): Promise<string>;
  /** SHA-256 (hex) of a range of a file or block device. EINVAL where it ends before the range does. */
  hashRange(path: string, range: ByteRange, signal: AbortSignal): Promise<string>;
  /** Whether every byte of a range of a file or block device is zero. EINVAL where it ends before the range does. */
  isZero(path: string, range: ByteRange, signal: AbortSignal): Promise<boolean>;
}

export interface ByteRange {
  readonly offset: bigint;
  readonly length: bigint;
}

/** The piece that follows after so many bytes. */
export const nextRange = (doneBytes: bigint, until: bigint, most: bigint): ByteRange => {
  const left = until - doneBytes;
  return { offset: doneBytes, length: left < most ? left : most };
};

export interface CopiedRange extends ByteRange {
  /** Where it begins in what is read; the same as `offset` when absent. */
  readonly fromOffset?: bigint;
}

const READ_LIMIT_BYTES = 1024 * 1024;

const failure = (code: string, path: string, why: string): Error =>
  Object.assign(new Error(`${code}: ${why}, '${path}'`), { code });

export const errorCode = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;

const read = async (path: string): Promise<string> => {
  const handle = await fs.open(path, 'r');
  try {
    const chunks: Buffer[] = [];
    let bytes = 0;
    for (;;) {
      const { bytesRead, buffer } = await handle.read(Buffer.alloc(65_536), 0, 65_536, null);
      if (bytesRead === 0) {
        return Buffer.concat(chunks).toString('utf8');
      }
      bytes += bytesRead;
      if (bytes > READ_LIMIT_BYTES) {
        throw failure('EFBIG', path, 'file too large');
      }
      chunks.push(buffer.subarray(0, bytesRead));
    }
  } finally {
    await handle.close();
  }
};

const write = async (path: string, text: string, mode = 0o644): Promise<void> => {
  const handle = await fs.open(path, 'w', mode);
  try {
    await handle.write(text, null, 'utf8');
  } finally {
    await handle.close();
  }
};

/** The name which an atomic write gives its file for a moment. */
export const isTemporary = (name: string): boolean => /^\..+\.tmp$/.test(name);

const replaceWhole = async (path: string, text: string, mode: number): Promise<void> => {
  // Always the same name, since failures name it. A crash may have left it there.
  const temporary = join(dirname(path), `.${basename(path)}.tmp`);
  try {
    await fs.rm(temporary, { force: true });
    await fs.writeFile(temporary, text, { mode, flag: 'wx', flush: true });
    await fs.rename(temporary, path);
  } catch (error) {
    await fs.rm(temporary, { force: true });
    throw error;
  }
  await sync(dirname(path));
};

/** The last write of each path that is under way: they share a temporary name. */
const writing = new Map<string, Promise<void>>();

const writeAtomic = async (path: string, text: string, mode = 0o644): Promise<void> => {
  const before = writing.get(path) ?? Promise.resolve();
  const mine = before.catch(() => {}).then(() => replaceWhole(path, text, mode));
  writing.set(path, mine);
  try {
    await mine;
  } finally {
    if (writing.get(path) === mine) {
      writing.delete(path);
    }
  }
};

const extend = async (path: string, sizeBytes: bigint): Promise<void> => {
  const handle = await fs.open(path, 'a', 0o600);
  try {
    const { size } = await handle.stat({ bigint: true });
    if (size > sizeBytes) {
      throw failure('EINVAL', path, `is ${size} bytes long already`);
    }
    await handle.truncate(Number(sizeBytes));
    await handle.sync();
  } finally {
    await handle.close();
  }
};

const stat = async (path: string): Promise<FileStat> => {
  const found = await fs.lstat(path, { bigint: true });
  const kinds: readonly (readonly [boolean, FileKind])[] = [
    [found.isFile(), 'file'],
    [found.isDirectory(), 'directory'],
    [found.isSymbolicLink(), 'symlink'],
    [found.isBlockDevice(), 'block'],
  ];
  return {
    kind: kinds.find(([is]) => is)?.[1] ?? 'other',
    sizeBytes: found.size,
    allocatedBytes: found.blocks * 512n,
    changedAt: found.ctime,
    mode: Number(found.mode) & 0o7777,
    uid: Number(found.uid),
  };
};

const space = async (path: string): Promise<SpaceBytes> => {
  const { blocks, bavail, bsize } = await fs.statfs(path, { bigint: true });
  return { totalBytes: blocks * bsize, freeBytes: bavail * bsize };
};

const BLOCK_BYTES = 1024 * 1024;

/** Walks over a range block by block; the buffer is used again for the next one. */
const eachBlock = async (
  { handle, path }: { readonly handle: fs.FileHandle; readonly path: string },
  { offset, length }: ByteRange,
  signal: AbortSignal,
  visit: (block: Buffer, at: number) => Promise<void>,
): Promise<void> => {
  const buffer = Buffer.alloc(BLOCK_BYTES);
  const end = Number(offset + length);
  for (let at = Number(offset); at < end; ) {
    signal.throwIfAborted();
    const { bytesRead } = await handle.read(buffer, 0, Math.min(BLOCK_BYTES, end - at), at);
    if (bytesRead === 0) {
      throw failure('EINVAL', path, `ends at ${at}, before ${end}`);
    }
    await visit(buffer.subarray(0, bytesRead), at);
    at += bytesRead;
  }
};

const writeAll = async (handle: fs.FileHandle, block: Buffer, at: number): Promise<void> => {
  for (let done = 0; done < block.length; ) {
    const { bytesWritten } = await handle.write(block, done, block.length - done, at + done);
    done += bytesWritten;
  }
};

const copyRange = async (
  from: string,
  to: string,
  { offset, length, fromOffset = offset }: CopiedRange,
  signal: AbortSignal,
): Promise<string> => {
  const hash = createHash('sha256');
  const ahead = Number(offset - fromOffset);
  // Neither makes the file: a device that is not there must not become one.
  const source = await fs.open(from, 'r');
  const target = await fs.open(to, 'r+').catch(async (error) => {
    await source.close();
    throw error;
  });
  try {
    const there = Buffer.alloc(BLOCK_BYTES);
    await eachBlock(
      { handle: source, path: from },
      { offset: fromOffset, length },
      signal,
      async (block, readAt) => {
        const at = readAt + ahead;
        hash.update(block);
        const isZero = block.equals(ZEROES.subarray(0, block.length));
        const { bytesRead } = isZero ? await target.read(there, 0, block.length, at) : { bytesRead: -1 };
        if (bytesRead !== block.length || !there.subarray(0, bytesRead).equals(block)) {
          await writeAll(target, block, at);
        }
      },
    );
    await target.datasync();
  } finally {
    await Promise.all([source.close(), target.close()]);
  }
  return hash.digest('hex');
};

const hashRange = async (path: string, range: ByteRange, signal: AbortSignal): Promise<string> => {
  const hash = createHash('sha256');
  const handle = await fs.open(path, 'r');
  try {
    await eachBlock({ handle, path }, range, signal, async (block) => {
      hash.update(block);
    });
  } finally {
    await handle.close();
  }
  return hash.digest('hex');
};

const isZero = async (path: string, range: ByteRange, signal: AbortSignal): Promise<boolean> => {
  let found = true;
  const handle = await fs.open(path, 'r');
  try {
    await eachBlock({ handle, path }, range, signal, async (block) => {
      found &&= block.equals(ZEROES.subarray(0, block.length));
    });
  } finally {
    await handle.close();
  }
  return found;
};

const ZEROES = Buffer.alloc(BLOCK_BYTES);

const literal = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');

/** A segment of a pattern, in which `*` stands for anything. */
export const matcher = (segment: string): RegExp =>
  new RegExp(`^${segment.split('*').map(literal).join('.*')}$`, 's');

/**
 * One more segment for each path found so far. Below the first `*` a directory that is gone by now is no failure; the
 * one before it must be there, or an unmounted tree would look like an empty one.
 */
const step = async (
  found: readonly string[],
  segment: string,
  first: boolean,
): Promise<readonly string[]> => {
  if (!segment.includes('*')) {
    return found.map((path) => join(path, segment));
  }
  const lists = found.map(async (path) => {
    try {
      const names = await fs.readdir(path);
      return names
        .filter((name) => matcher(segment).test(name))
        .toSorted()
        .map((name) => join(path, name));
    } catch (error) {
      if (!first && ['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')) {
        return [];
      }
      throw error;
    }
  });
  return (await Promise.all(lists)).flat();
};

const exists = async (path: string): Promise<boolean> => {
  try {
    await fs.lstat(path);
    return true;
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')) {
      return false;
    }
    throw error;
  }
};

const glob = async (pattern: string): Promise<readonly string[]> => {
  let found: readonly string[] = ['/'];
  let wild = false;
  for (const segment of pattern.split('/').filter((part) => part !== '')) {
    found = await step(found, segment, !wild);
    wild ||= segment.includes('*');
  }
  const present = await Promise.all(found.map(exists));
  return found.filter((_, index) => present[index]);
};

/** The files of this host. */
export const hostFiles: Files = {
  read,
  write,
  writeAtomic,
  mkdir: async (path, mode = 0o755) => fs.mkdir(path, { mode }).then(() => undefined),
  rmdir: (path) => fs.rmdir(path),
  rename: (from, to) => fs.rename(from, to),
  unlink: (path) => fs.unlink(path),
  extend,
  sync,
  list: async (path) => (await fs.readdir(path)).toSorted(),
  stat,
  symlink: (target, path) => fs.symlink(target, path),
  readlink: (path) => fs.readlink(path),
  glob,
  space,
  copyRange,
  hashRange,
  isZero,
};
