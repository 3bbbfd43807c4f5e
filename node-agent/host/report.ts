// Makes the host's object once, and keeps the host's own block on it up to date. Written only when it changed.
import { sameJson } from '../../api/equal.ts';
import type { Hypervisor, VolumeServer } from '../../api/hosts.ts';
import type { Resource } from '../../api/object.ts';
import { API_VERSION } from '../../api/resources.ts';
import type { Api } from '../../runtime/api.ts';
import { DroppedFields } from '../../runtime/dropped.ts';
import { ApiError } from '../../runtime/errors.ts';
import { patchStatusBlock } from '../../runtime/patch.ts';

type HostObject = VolumeServer | Hypervisor;

export interface HostReport<T extends HostObject> {
  readonly api: Api;
  readonly resource: Resource;
  readonly name: string;
  readonly fieldManager: string;
  /** The facts now, given the last ones told. */
  readonly facts: (before: T | undefined) => NonNullable<T['status']>['agent'];
}

const TRIES = 3;
/** Every so many calls the object is read again, in case somebody removed it. */
const READ_EVERY = 12;

/** Remembers the object as it last was, so that an unchanged host costs next to no requests. */
export class HostReporter<T extends HostObject> {
  #object: T | undefined;
  #calls = 0;
  readonly #dropped = new DroppedFields();

  /** The block as it was last told; undefined before, and when telling it failed. */
  get told(): NonNullable<T['status']>['agent'] | undefined {
    return this.#object?.status?.agent;
  }

  /** Throws what the API server throws; the next call starts from a fresh read. */
  async report(report: HostReport<T>, signal: AbortSignal): Promise<void> {
    this.#calls += 1;
    if (this.#calls % READ_EVERY === 0) {
      this.#object = undefined;
    }
    for (let tries = 1; !(await this.#try(report, signal)) && tries < TRIES; tries += 1) {
      // The controller wrote its conditions in between: read and look again.
    }
  }

  async #try(
    { api, resource, name, fieldManager, facts }: HostReport<T>,
    signal: AbortSignal,
  ): Promise<boolean> {
    const object =
      this.#object ??
      (await api.get<T>(resource, { name }, { signal })) ??
      (await this.#create(api, resource, name));
    this.#object = undefined;
    const agent = facts(object);
    const { uid } = object.metadata;
    const before = object.status?.agent;
    if (sameJson(agent, before) || this.#dropped.isFutile(uid, agent, before)) {
      this.#object = object;
      return true;
    }
    try {
      this.#object = await patchStatusBlock<T>(api, { resource, object, owned: { agent }, fieldManager });
      this.#dropped.wrote(uid, agent, this.#object?.status?.agent);
      return true;
    } catch (error) {
      if (error instanceof ApiError && error.isConflict) {
        return false;
      }
      throw error;
    }
  }

  async #create(api: Api, resource: Resource, name: string): Promise<T> {
    const draft = { apiVersion: API_VERSION, kind: resource.kind, metadata: { name } };
    try {
      return await api.create<T>(resource, draft as never);
    } catch (error) {
      const found =
        error instanceof ApiError && error.isAlreadyExists ? await api.get<T>(resource, { name }) : undefined;
      if (found === undefined) {
        throw error;
      }
      return found;
    }
  }
}
