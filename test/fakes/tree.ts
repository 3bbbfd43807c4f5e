// A host's files in memory: directories, texts, symbolic links, and devices whose bytes are somebody else's. Errors carry the codes of
// Linux. Nothing here waits for a real disk, so what runs over it is the same each time.
import { createHash } from 'node:crypto';
import { dirname, join, resolve } from 'node:path';
import {
  type ByteRange,
  type CopiedRange,
  type FileStat,
  type Files,
  matcher,
} from '../../node-agent/exec/files.ts';

export const MIB = 1024n * 1024n;

/** A block device. Every mebibyte of it holds a word; zeroes are the empty one. */
export interface Device {
  readonly sizeBytes: bigint;
  /** Both throw with the code EIO when the device is dead, EAGAIN while whoever asks would wait. */
  read(mebibyte: number): string;
  write(mebibyte: number, word: string): void;
}

type Node =
  | { readonly kind: 'directory'; readonly names: Map<string, Node>; changedAt: Date }
  | { readonly kind: 'file'; text: string; mode: number; changedAt: Date }
  | { readonly kind: 'symlink'; readonly to: string; changedAt: Date }
  | { readonly kind: 'block'; readonly device: Device; changedAt: Date };
type Directory = Extract<Node, { readonly kind: 'directory' }>;

export const failure = (code: string, path: string): Error =>
  Object.assign(new Error(`${code}: '${path}'`), { code });

const MOST_LINKS = 40;

export class MemoryTree {
  readonly #root: Directory = { kind: 'directory', names: new Map(), changedAt: new Date(0) };
  readonly #now: () => Date;
  /** Directories whose entries somebody else has: LVM's, of a volume group. */
  readonly #mounts = new Map<string, (name: string) => Device | undefined>();

  constructor(now: () => Date = () => new Date()) {
    this.#now = now;
  }

  /** What is below `path` is what `find` knows. */
  mount(path: string, find: (name: string) => Device | undefined): void {
    this.#mounts.set(path, find);
  }

  has(path: string): boolean {
    return this.#find(path, false) !== undefined;
  }

  /** With all directories above it. */
  makeDirectory(path: string): void {
    let at = this.#root;
    for (const name of partsOf(path)) {
      const next = at.names.get(name);
      const found = next?.kind === 'symlink' ? this.#find(join('/', next.to), true) : next;
      if (found !== undefined && found.kind !== 'directory') {
        throw failure('ENOTDIR', path);
      }
      const directory = found ?? { kind: 'directory', names: new Map(), changedAt: this.#now() };
      if (next === undefined) {
        at.names.set(name, directory);
      }
      at = directory;
    }
  }

  /** With all directories above it. */
  put(path: string, text: string, mode = 0o644): void {
    this.makeDirectory(dirname(path));
    this.#parent(path).names.set(nameOf(path), { kind: 'file', text, mode, changedAt: this.#now() });
  }

  /** Directories and files of another host, below that path. */
  copy(from: MemoryTree, path: string): void {
    this.makeDirectory(path);
    for (const name of from.list(path)) {
      const inner = join(path, name);
      const node = from.#get(inner, false);
      if (node.kind === 'directory') {
        this.copy(from, inner);
      } else if (node.kind === 'file') {
        this.put(inner, node.text, node.mode);
      }
    }
  }

  putDevice(path: string, device: Device): void {
    this.makeDirectory(dirname(path));
    this.#parent(path).names.set(nameOf(path), { kind: 'block', device, changedAt: this.#now() });
  }

  link(target: string, path: string): void {
    this.makeDirectory(dirname(path));
    const { names } = this.#parent(path);
    if (names.has(nameOf(path))) {
      throw failure('EEXIST', path);
    }
    names.set(nameOf(path), { kind: 'symlink', to: target, changedAt: this.#now() });
  }

  /** With all that is below; what is not there is no matter. */
  remove(path: string): void {
    const parent = this.#find(dirname(path), true);
    if (parent?.kind === 'directory') {
      parent.names.delete(nameOf(path));
    }
  }

  text(path: string): string {
    const node = this.#get(path, true);
    if (node.kind !== 'file') {
      throw failure(node.kind === 'directory' ? 'EISDIR' : 'EINVAL', path);
    }
    return node.text;
  }

  list(path: string): readonly string[] {
    const node = this.#get(path, true);
    if (node.kind !== 'directory') {
      throw failure('ENOTDIR', path);
    }
    return [...node.names.keys()].toSorted();
  }

  /** The device at the end of a path, through all links. */
  device(path: string): Device {
    const node = this.#get(path, true);
    if (node.kind !== 'block') {
      throw failure('ENOTBLK', path);
    }
    return node.device;
  }

  /** As an agent uses them. */
  readonly files: Files = {
    read: async (path) => this.text(path),
    write: async (path, text, mode = 0o644) => this.#write(path, text, mode),
    writeAtomic: async (path, text, mode = 0o644) => this.#write(path, text, mode),
    mkdir: async (path) => {
      const { names } = this.#parent(path);
      if (names.has(nameOf(path))) {
        throw failure('EEXIST', path);
      }
      names.set(nameOf(path), { kind: 'directory', names: new Map(), changedAt: this.#now() });
    },
    rmdir: async (path) => {
      const node = this.#get(path, false);
      if (node.kind !== 'directory') {
        throw failure('ENOTDIR', path);
      }
      if (node.names.size > 0) {
        throw failure('ENOTEMPTY', path);
      }
      this.remove(path);
    },
    rename: async (from, to) => {
      const node = this.#get(from, false);
      node.changedAt = this.#now();
      this.remove(from);
      this.#parent(to).names.set(nameOf(to), node);
    },
    unlink: async (path) => {
      if (this.#get(path, false).kind === 'directory') {
        throw failure('EISDIR', path);
      }
      this.remove(path);
    },
    list: async (path) => this.list(path),
    stat: async (path) => this.#stat(path),
    symlink: async (target, path) => {
      this.#parent(path);
      this.link(target, path);
    },
    readlink: async (path) => {
      const node = this.#get(path, false);
      if (node.kind !== 'symlink') {
        throw failure('EINVAL', path);
      }
      return node.to;
    },
    glob: async (pattern) => this.#glob(pattern),
    sync: async (path) => void this.#get(path, true),
    isZero: async (path, range) => wordsOf(this.device(path), path, range).every((word) => word === ''),
    hashRange: async (path, range) => hashOf(wordsOf(this.device(path), path, range)),
    copyRange: async (from, to, range) => this.#copy(from, to, range),
    extend: async (path) => Promise.reject(failure('ENOSYS', path)),
    space: async (path) => Promise.reject(failure('ENOSYS', path)),
  };

  #write(path: string, text: string, mode: number): void {
    const node = this.#find(path, true);
    if (node === undefined) {
      this.#parent(path).names.set(nameOf(path), { kind: 'file', text, mode, changedAt: this.#now() });
      return;
    }
    if (node.kind !== 'file') {
      throw failure('EISDIR', path);
    }
    node.text = text;
    node.changedAt = this.#now();
  }

  #stat(path: string): FileStat {
    const node = this.#get(path, false);
    const sizeBytes = node.kind === 'file' ? BigInt(Buffer.byteLength(node.text)) : 0n;
    return {
      kind: node.kind,
      sizeBytes,
      allocatedBytes: sizeBytes,
      changedAt: node.changedAt,
      mode: node.kind === 'file' ? node.mode : 0o755,
      uid: 0,
    };
  }

  #copy(from: string, to: string, { offset, length, fromOffset = offset }: CopiedRange): string {
    const words = wordsOf(this.device(from), from, { offset: fromOffset, length });
    const device = this.device(to);
    for (const [index, word] of words.entries()) {
      device.write(Number(offset / MIB) + index, word);
    }
    return hashOf(words);
  }

  /** As hostFiles has it: the directory before the first star must be there. */
  #glob(pattern: string): readonly string[] {
    let found: readonly string[] = ['/'];
    let wild = false;
    for (const segment of partsOf(pattern)) {
      if (segment.includes('*')) {
        const matches = matcher(segment);
        const below = (path: string): readonly string[] => {
          const node = this.#find(path, true);
          if (node?.kind !== 'directory') {
            if (wild) {
              return [];
            }
            throw failure('ENOENT', path);
          }
          return [...node.names.keys()].toSorted();
        };
        found = found.flatMap((path) =>
          below(path).flatMap((name) => (matches.test(name) ? [join(path, name)] : [])),
        );
        wild = true;
      } else {
        found = found.map((path) => join(path, segment));
      }
    }
    return found.filter((path) => this.#find(path, false) !== undefined);
  }

  #get(path: string, follow: boolean): Node {
    const node = this.#find(path, follow);
    if (node === undefined) {
      throw failure('ENOENT', path);
    }
    return node;
  }

  #parent(path: string): Directory {
    const node = this.#get(dirname(path), true);
    if (node.kind !== 'directory') {
      throw failure('ENOTDIR', path);
    }
    return node;
  }

  /** Links in the midst of a path are followed always, the one at its end with `follow`. */
  #find(path: string, follow: boolean, links = 0): Node | undefined {
    if (links > MOST_LINKS) {
      throw failure('ELOOP', path);
    }
    const device = this.#mounts.get(dirname(path))?.(nameOf(path));
    if (device !== undefined) {
      return { kind: 'block', device, changedAt: new Date(0) };
    }
    const parts = partsOf(path);
    let at: Node | undefined = this.#root;
    for (const [index, name] of parts.entries()) {
      if (at?.kind !== 'directory') {
        return undefined;
      }
      const next: Node | undefined = at.names.get(name);
      if (next?.kind === 'symlink' && (follow || index < parts.length - 1)) {
        const before = join('/', ...parts.slice(0, index));
        const rest = parts.slice(index + 1);
        return this.#find(join(resolve(before, next.to), ...rest), follow, links + 1);
      }
      at = next;
    }
    return at;
  }
}

const partsOf = (path: string): readonly string[] => path.split('/').filter((part) => part !== '');
const nameOf = (path: string): string => partsOf(path).at(-1) ?? '';

const wordsOf = (device: Device, path: string, { offset, length }: ByteRange): readonly string[] => {
  if (offset + length > device.sizeBytes) {
    throw failure('EINVAL', path);
  }
  const [first, count] = [Number(offset / MIB), Number(length / MIB)];
  return Array.from({ length: count }, (_, index) => device.read(first + index));
};

const hashOf = (words: readonly string[]): string =>
  createHash('sha256').update(JSON.stringify(words)).digest('hex');
