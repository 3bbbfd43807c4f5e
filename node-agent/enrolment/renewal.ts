// A host that was enrolled renews its own token, long before it ends, with the one it has. Kubeconfigs of other kinds are left alone.
import path from 'node:path';
import type { Api } from '../../runtime/api.ts';
import type { Clock } from '../../runtime/clock.ts';
import { ApiError } from '../../runtime/errors.ts';
import { tokenFileOf } from '../../runtime/kubeconfig.ts';
import type { Log } from '../../runtime/log.ts';
import type { AgentConfig } from '../config.ts';
import type { Files } from '../exec/files.ts';
import { requestToken } from './token.ts';

const RETRY_MS = 60_000;

/** Where `enroll` keeps the token: kubeconfigs whose token is in this file are its own. */
export const tokenFileIn = (stateDir: string): string => path.join(stateDir, 'token');

type Identity = Pick<AgentConfig, 'kubeconfig' | 'stateDir'>;

/** Whether the kubeconfig was made by `enroll`. */
export async function isEnrolled(files: Pick<Files, 'read'>, config: Identity): Promise<boolean> {
  const text = await files.read(config.kubeconfig);
  return tokenFileOf(text, config.kubeconfig) === tokenFileIn(config.stateDir);
}

export interface Renewal {
  readonly api: Pick<Api, 'create'>;
  readonly files: Pick<Files, 'read' | 'writeAtomic'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly host: string;
  readonly tokenFile: string;
  readonly lifetimeSeconds?: number;
}

/**
 * Renews at once, and then whenever a third of what was granted is over, until the signal fires. It measures time since the grant, so
 * that a wrong clock does no harm. Never rejects: the old token still serves.
 */
export async function keepTokenFresh(renewal: Renewal, signal: AbortSignal): Promise<void> {
  const { clock, log } = renewal;
  let dueMs = clock.monotonicMs();
  while (!signal.aborted) {
    const waitMs = dueMs - clock.monotonicMs();
    if (waitMs > 0) {
      await clock.sleep(waitMs, signal).catch(() => {});
      continue;
    }
    try {
      dueMs = clock.monotonicMs() + (await renewToken(renewal, signal)) / 3;
    } catch (error) {
      dueMs = clock.monotonicMs() + RETRY_MS;
      if (!signal.aborted) {
        tellFailure(log, error);
      }
    }
  }
}

/** Replaces the token by a new one and answers for how many milliseconds that was granted. */
export async function renewToken(renewal: Renewal, signal?: AbortSignal): Promise<number> {
  const { api, files, log, host, tokenFile, lifetimeSeconds } = renewal;
  const before = await files.read(tokenFile);
  const { text, issued, expires } = await requestToken(api, {
    host,
    ...(lifetimeSeconds === undefined ? {} : { lifetimeSeconds }),
    ...(signal === undefined ? {} : { signal }),
  });
  // Somebody enrolled this host anew meanwhile, perhaps with another cluster.
  if ((await files.read(tokenFile)) === before) {
    await files.writeAtomic(tokenFile, `${text}\n`, 0o600);
    log.info({ expires: expires.toISOString() }, 'Renewed the credentials of this host');
  }
  return expires.getTime() - issued.getTime();
}

function tellFailure(log: Log, error: unknown): void {
  if (error instanceof ApiError && error.status === 401) {
    log.error(
      { err: error, remedy: 'enrol this host again: vbs-node-agent enroll' },
      'The API server does not accept the token of this host any more',
    );
  } else if (error instanceof ApiError && error.isForbidden) {
    log.error(
      { err: error, remedy: 'apply deploy/host.yaml of this version for this host again' },
      'This host may not renew its token',
    );
  } else {
    log.warn({ err: error }, 'Cannot renew the token of this host, trying again');
  }
}
