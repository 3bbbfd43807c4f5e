import { type KubeObject, keyOf } from '../api/object.ts';

/** `object` absent: gone from the watch (deleted, or no longer selected). `old` absent: new here. */
export interface Change<T extends KubeObject> {
  readonly key: string;
  readonly object?: T;
  readonly old?: T;
}

export type ChangeHandler<T extends KubeObject> = (change: Change<T>) => void;

interface Index<T> {
  readonly valuesOf: (object: T) => readonly string[];
  readonly keys: Map<string, Set<string>>;
}

/**
 * The objects as the watch last told them, with our own newer writes laid over. Objects are frozen (at the top and
 * in metadata) and never change; each change brings another object. Knows nothing of connections.
 */
export class ObjectCache<T extends KubeObject> {
  readonly #objects = new Map<string, T>();
  /** Keys whose object is our own write, not yet seen in the watch. */
  readonly #ownWrites = new Map<string, bigint>();
  readonly #indexes = new Map<string, Index<T>>();
  readonly #handlers: ChangeHandler<T>[] = [];
  readonly #onHandlerError: (error: unknown, key: string) => void;

  constructor(onHandlerError: (error: unknown, key: string) => void) {
    this.#onHandlerError = onHandlerError;
  }

  get size(): number {
    return this.#objects.size;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  list(): T[] {
    return [...this.#objects.values()];
  }

  onChange(handler: ChangeHandler<T>): void {
    this.#handlers.push(handler);
  }

  /** Groups the objects under the values `valuesOf` gives; objects already here are included. */
  addIndex(name: string, valuesOf: (object: T) => readonly string[]): void {
    const index = { valuesOf, keys: new Map<string, Set<string>>() };
    this.#indexes.set(name, index);
    for (const [key, object] of this.#objects) {
      this.#enter(index, key, object);
    }
  }

  /** Throws when there is no such index. */
  byIndex(name: string, value: string): T[] {
    const index = this.#indexes.get(name);
    if (index === undefined) {
      throw new RangeError(`no index named ${name}`);
    }
    return [...(index.keys.get(value) ?? [])].flatMap((key) => this.#objects.get(key) ?? []);
  }

  /** The watch says that this is the object now. */
  observed(raw: T): void {
    const object = frozen(raw);
    const key = keyOf(object);
    if (this.#isOlderThanOwnWrite(key, object)) {
      return;
    }
    this.#ownWrites.delete(key);
    this.#set(key, object);
  }

  /** The watch says that the object is gone. The end of a predecessor of the same name is old news. */
  vanished(object: T): void {
    const key = keyOf(object);
    const cached = this.#objects.get(key);
    if (cached?.metadata.uid !== object.metadata.uid && this.#isOlderThanOwnWrite(key, object)) {
      return;
    }
    this.#ownWrites.delete(key);
    this.#remove(key);
  }

  /** What a write of ours returned; the caller has made sure that the watch has not passed it yet. */
  written(raw: T): void {
    const object = frozen(raw);
    const key = keyOf(object);
    const version = versionOf(object.metadata.resourceVersion);
    const known = versionOf(this.#objects.get(key)?.metadata.resourceVersion);
    if (version !== undefined && (known === undefined || version > known)) {
      this.#set(key, object);
      this.#ownWrites.set(key, version);
    }
  }

  /** A list that begins now will contain all our writes so far: only later ones may outlive it. */
  expectList(): void {
    this.#ownWrites.clear();
  }

  /**
   * The complete truth as of `resourceVersion`. Only differences are delivered, unless `announceAll`.
   * Writes of ours that are newer stay.
   */
  replaced(objects: ReadonlyMap<string, T>, resourceVersion: string, announceAll: boolean): void {
    const asOf = versionOf(resourceVersion);
    const isNewer = (key: string) => asOf !== undefined && (this.#ownWrites.get(key) ?? -1n) > asOf;
    for (const key of [...this.#objects.keys()]) {
      if (!objects.has(key) && !isNewer(key)) {
        this.#remove(key);
      }
    }
    for (const [key, raw] of objects) {
      if (!isNewer(key)) {
        this.#ownWrites.delete(key);
        this.#set(key, frozen(raw), announceAll);
      }
    }
  }

  #isOlderThanOwnWrite(key: string, object: T): boolean {
    const own = this.#ownWrites.get(key);
    const version = versionOf(object.metadata.resourceVersion);
    return own !== undefined && version !== undefined && version < own;
  }

  #set(key: string, object: T, announce = false): void {
    const old = this.#objects.get(key);
    if (old !== undefined && old.metadata.uid !== object.metadata.uid) {
      this.#remove(key);
      this.#set(key, object);
      return;
    }
    const changed = old?.metadata.resourceVersion !== object.metadata.resourceVersion;
    if (changed) {
      this.#objects.set(key, object);
      this.#reindex(key, old, object);
    }
    if (changed || announce) {
      this.#deliver(old === undefined ? { key, object } : { key, object, old });
    }
  }

  #remove(key: string): void {
    const old = this.#objects.get(key);
    if (old === undefined) {
      return;
    }
    this.#objects.delete(key);
    this.#ownWrites.delete(key);
    this.#reindex(key, old, undefined);
    this.#deliver({ key, old });
  }

  #reindex(key: string, old: T | undefined, object: T | undefined): void {
    for (const index of this.#indexes.values()) {
      if (old !== undefined) {
        this.#leave(index, key, old);
      }
      if (object !== undefined) {
        this.#enter(index, key, object);
      }
    }
  }

  #enter(index: Index<T>, key: string, object: T): void {
    for (const value of this.#valuesOf(index, key, object)) {
      const keys = index.keys.get(value) ?? new Set();
      index.keys.set(value, keys.add(key));
    }
  }

  #leave(index: Index<T>, key: string, object: T): void {
    for (const value of this.#valuesOf(index, key, object)) {
      const keys = index.keys.get(value);
      keys?.delete(key);
      if (keys?.size === 0) {
        index.keys.delete(value);
      }
    }
  }

  #valuesOf(index: Index<T>, key: string, object: T): readonly string[] {
    try {
      return index.valuesOf(object);
    } catch (error) {
      this.#onHandlerError(error, key);
      return [];
    }
  }

  #deliver(change: Change<T>): void {
    for (const handler of this.#handlers) {
      try {
        handler(change);
      } catch (error) {
        this.#onHandlerError(error, change.key);
      }
    }
  }
}

/** resourceVersions of one kind are ordered; anything that is not a number cannot be compared. */
export function versionOf(resourceVersion: string | undefined): bigint | undefined {
  return resourceVersion !== undefined && /^\d+$/.test(resourceVersion) ? BigInt(resourceVersion) : undefined;
}

/** As objects are kept: frozen, and without managedFields, which are half of a small object and of no use here. */
export function frozen<T extends KubeObject>(object: T): T {
  if (Object.isFrozen(object) && Object.isFrozen(object.metadata)) {
    return object;
  }
  const { managedFields: _, ...metadata } = object.metadata as T['metadata'] & {
    readonly managedFields?: unknown;
  };
  return Object.freeze({ ...object, metadata: Object.freeze(metadata) });
}
