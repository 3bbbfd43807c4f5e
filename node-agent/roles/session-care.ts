/**
 * Sessions which iscsid does not bring back although their target is there again. When a target closes a connection in the middle of a
 * new login, as one does that is starting, iscsid asks the kernel to bind the next connection without having stopped the last one, is
 * refused (ENOTCONN), and does so for ever (open-iscsi issue 387; seen with 2.1.8). Writes of the guest wait meanwhile, and fail in
 * the end. An iscsid that starts stops all connections and logs in anew; sessions are the kernel's, and what is under way waits.
 */

import { createConnection } from 'node:net';
import type { BoundProfile } from '../profiles/bind.ts';
import type { Row } from '../profiles/row.ts';
import { volumeOf } from './sessions.ts';

export interface CareOptions {
  readonly prefix: string;
  /** Milliseconds that never go backwards. */
  readonly monotonicMs: () => number;
  /** Whether something takes connections there. */
  readonly reach: (address: string, port: number) => Promise<boolean>;
}

export interface SessionCare {
  /** Restarts the daemon when it must be; answers what a person should do instead, or has to know. */
  tend(signal: AbortSignal): Promise<string | undefined>;
}

/** Well above what a login takes that is only slow, well below the time for which I/O is held back. */
const LOST_MS = 120_000;
/** A target that refuses us takes connections too: no restart brings us in there. */
const AGAIN_MS = 900_000;
const REACH_MS = 3_000;

interface Seen {
  readonly session: string;
  readonly iqn: string;
  readonly state: string;
  readonly address?: string;
  readonly port: number;
}

const seenIn = (rows: readonly Row[]): readonly Seen[] => {
  const bySession = new Map<string, Row>();
  for (const row of rows) {
    bySession.set(row.session ?? '', { ...bySession.get(row.session ?? ''), ...row });
  }
  return [...bySession].map(([session, { iqn = '', state = '', address, port }]) => ({
    session,
    iqn,
    state,
    port: Number(port ?? '3260'),
    ...(address === undefined ? {} : { address }),
  }));
};

export const sessionCare = (
  profile: BoundProfile,
  { prefix, monotonicMs, reach }: CareOptions,
): SessionCare => {
  const lostAtMs = new Map<string, number>();
  let revivedAtMs: number | undefined;
  /** Ours that were not logged in at any look for so long. */
  const lost = (sessions: readonly Seen[]): readonly Seen[] => {
    const now = monotonicMs();
    const away = sessions.filter(
      ({ iqn, state }) => volumeOf(iqn, prefix) !== undefined && state !== 'LOGGED_IN',
    );
    for (const session of lostAtMs.keys()) {
      if (!away.some((one) => one.session === session)) {
        lostAtMs.delete(session);
      }
    }
    return away.filter((one) => {
      const since = lostAtMs.get(one.session) ?? now;
      lostAtMs.set(one.session, since);
      return now - since >= LOST_MS;
    });
  };
  const firstReached = async (sessions: readonly Seen[]): Promise<Seen | undefined> => {
    for (const one of sessions) {
      if (one.address !== undefined && (await reach(one.address, one.port))) {
        return one;
      }
    }
    return undefined;
  };
  return {
    tend: async (signal) => {
      if (!profile.has('revive')) {
        return undefined;
      }
      const sessions = seenIn((await profile.call('sessions', {}, signal)).rows);
      const found = await firstReached(lost(sessions));
      if (found === undefined) {
        return undefined;
      }
      const problem = `iscsid does not bring back session ${found.session} to ${found.iqn}, whose portal answers`;
      if (revivedAtMs !== undefined && monotonicMs() - revivedAtMs < AGAIN_MS) {
        return `${problem}, although iscsid was restarted; see whether its target lets this host in`;
      }
      const others = sessions.filter(({ iqn }) => iqn !== '' && volumeOf(iqn, prefix) === undefined);
      if (others.length > 0) {
        return `${problem}; restart iscsid (systemctl restart iscsid.service), which is left to you, since others have sessions here as well`;
      }
      revivedAtMs = monotonicMs();
      const { outcome, said } = await profile.call('revive', {}, signal);
      return outcome === 'ok' ? undefined : `${problem}, and it cannot be restarted: ${said}`;
    },
  };
};

/** A TCP connection that is closed at once. */
export const reachByTcp = (address: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = createConnection({ host: address, port, timeout: REACH_MS });
    const end = (isThere: boolean) => (): void => {
      socket.destroy();
      resolve(isThere);
    };
    socket.once('connect', end(true));
    socket.once('timeout', end(false));
    socket.once('error', end(false));
  });
