// kubectl as the user types it: the line is shown, the real program run, its answer shown. While it waits, the Ready
// condition of the object it waits for is told.
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Condition, findCondition } from '../../api/conditions.ts';
import type { KubeObject, Resource } from '../../api/object.ts';
import { type Api, createApi } from '../../runtime/api.ts';
import { silentLog } from '../../runtime/log.ts';
import { runCommand } from '../../test/harness/process.ts';
import type { System } from '../../test/harness/system.ts';
import type { Telling } from './course.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const LIMIT_S = 120;
const LOOK_EVERY_MS = 500;

export interface Thing extends KubeObject {
  readonly status?: { readonly conditions?: readonly Condition[]; readonly volumeID?: string };
}

/** An object as kubectl names it, and as the API does. */
export interface Ref {
  readonly resource: Resource;
  /** Its short name for kubectl: `vbsvol`. */
  readonly short: string;
  readonly name: string;
}

export class Kubectl {
  readonly api: Api & { close(): Promise<void> };
  readonly #system: System;

  constructor(system: System) {
    this.#system = system;
    this.api = createApi({ kubeconfigPath: system.controlPlane.adminKubeconfig, log: silentLog });
  }

  /** Shows the line, runs it, shows and returns its output. */
  async type(tell: Telling, ...args: string[]): Promise<string> {
    tell.command(`kubectl ${args.join(' ')}`);
    const { kubectlPath, adminKubeconfig } = this.#system.controlPlane;
    const output = await runCommand(kubectlPath, args, {
      cwd: ROOT,
      timeoutMs: (LIMIT_S + 10) * 1000,
      env: {
        ...process.env,
        KUBECONFIG: adminKubeconfig,
        KUBECACHEDIR: path.join(this.#system.dir, 'kubectl-cache'),
        KUBERC: 'off',
      },
    });
    if (output !== '') {
      tell.note(output.trimEnd().replace(/^(?=.)/gm, '  '));
    }
    return output;
  }

  async waitReady(tell: Telling, ref: Ref): Promise<void> {
    await this.waitFor(tell, ref, 'condition=Ready');
  }

  /** `what` is kubectl's own expression: `condition=Ready`, `jsonpath={.status.capacity}=1Gi`. */
  async waitFor(tell: Telling, ref: Ref, what: string): Promise<void> {
    const wait = ['wait', `--for=${what}`, `--timeout=${LIMIT_S}s`, `${ref.short}/${ref.name}`];
    await this.#following(tell, ref, this.type(tell, ...wait));
  }

  /** What a condition says, in one line; undefined when the object does not have it. */
  async condition(ref: Ref, type: string): Promise<string | undefined> {
    const found = findCondition((await this.get(ref))?.status?.conditions, type);
    return found && sentenceOf(found);
  }

  /** kubectl waits until the object is gone. */
  async remove(tell: Telling, ref: Ref): Promise<void> {
    const remove = ['delete', `--timeout=${LIMIT_S}s`, ref.short, ref.name];
    await this.#following(tell, ref, this.type(tell, ...remove));
  }

  async get(ref: Ref): Promise<Thing | undefined> {
    const where = ref.resource.namespaced ? { namespace: 'default' } : {};
    return await this.api.get<Thing>(ref.resource, { name: ref.name, ...where });
  }

  async #following(tell: Telling, ref: Ref, work: Promise<unknown>): Promise<void> {
    const following = new AbortController();
    const follow = async () => {
      while (!following.signal.aborted) {
        const ready = findCondition((await this.get(ref))?.status?.conditions, 'Ready');
        const said = ready === undefined ? 'not yet seen' : sentenceOf(ready);
        tell.status(`${ref.short}/${ref.name}: ${said}`);
        await sleep(LOOK_EVERY_MS, undefined, { signal: following.signal });
      }
    };
    const followed = follow().catch(() => undefined); // it is only for show
    try {
      await work;
    } finally {
      following.abort();
      await followed;
    }
  }
}

/** A condition in one line. */
export const sentenceOf = ({ type, status, reason, message }: Condition): string =>
  `${type}=${status} ${reason}${message === '' ? '' : `: ${message}`}`;
