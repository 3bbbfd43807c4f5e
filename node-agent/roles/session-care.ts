/**
 * Sessions which iscsid does not bring back although their target is there again. When a target closes a connection in the middle of a
 * new login, as one does that is starting, iscsid asks the kernel to bind the next connection without having stopped the last one, is
 * refused (ENOTCONN), and does so for ever (open-iscsi issue 387; seen with 2.1.8). Writes of the guest wait meanwhile, and fail in
 * the end. An iscsid that starts stops all connections and logs in anew; sessions are the kernel's, and what is under way waits.
 */

import { createConnection } from 'node:net';
import type { Clock } from '../../runtime/clock.ts';
import type { BoundProfile } from '../profiles/bind.ts';
import type { Row } from '../profiles/row.ts';
import { allSessions, volumeOf } from './sessions.ts';

/** Whether something takes connections there. */
export type Reach = (address: string, port: number) => Promise<boolean>;

export interface CareOptions {
  readonly prefix: string;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly reach: Reach;
}

export interface SessionCare {
  /**
   * Restarts the daemon when a session stays away that its server wants to let in; answers what a person should do instead, where
   * others would be disturbed.
   */
  tend(isLetIn: LetIn, signal: AbortSignal): Promise<string | undefined>;
}

type LetIn = (volumeID: string) => boolean;

/**
 * For which a portal takes connections and a session does not come back. Well above what the server takes from there to its last
 * target, and a login that is only slow; well below the time for which I/O is held back. Twice as long after each restart in vain: a
 * target that refuses us takes connections too.
 */
const LOST_MS = 60_000;
const REACH_MS = 3_000;

/** Undefined for a session that has just gone. */
const portalOf = async (
  profile: BoundProfile,
  session: string,
  signal: AbortSignal,
): Promise<{ readonly address: string; readonly port: number } | undefined> => {
  const { rows } = await profile.call('portal', { session: BigInt(session) }, signal);
  const { address, port }: Row = Object.assign({}, ...rows);
  return address === undefined || port === undefined ? undefined : { address, port: Number(port) };
};

export const sessionCare = (profile: BoundProfile, { prefix, clock, reach }: CareOptions): SessionCare => {
  /** By session: since when it is away from a portal that answers, or the daemon was restarted for it, and how long that may last. */
  const losses = new Map<string, { sinceMs: number; limitMs: number }>();
  const answers = async ({ session = '' }: Row, signal: AbortSignal): Promise<boolean> => {
    const portal = await portalOf(profile, session, signal);
    return portal !== undefined && (await reach(portal.address, portal.port));
  };
  /** Of these, which are away, the ones that were so at every look for so long. */
  const lost = async (away: readonly Row[], signal: AbortSignal): Promise<readonly Row[]> => {
    const reached = await Promise.all(away.map(async (one) => await answers(one, signal)));
    const kept = away.filter((_, index) => reached[index]);
    const now = clock.monotonicMs();
    const before = new Map(losses);
    losses.clear();
    return kept.filter(({ session = '' }) => {
      const loss = before.get(session) ?? { sinceMs: now, limitMs: LOST_MS };
      losses.set(session, loss);
      return now - loss.sinceMs >= loss.limitMs;
    });
  };
  return {
    tend: async (isLetIn, signal) => {
      if (!profile.has('revive')) {
        return undefined;
      }
      const sessions = (await allSessions(profile, signal)).filter(({ iqn }) => iqn !== undefined);
      const ownerOf = ({ iqn = '' }: Row): string | undefined => volumeOf(iqn, prefix);
      const away = sessions.filter((one) => {
        const volumeID = ownerOf(one);
        return volumeID !== undefined && one.state !== 'LOGGED_IN' && isLetIn(volumeID);
      });
      const found = await lost(away, signal);
      const [first] = found;
      if (first === undefined) {
        return undefined;
      }
      const problem = `iscsid does not bring back session ${first.session} to ${first.iqn}, whose portal answers`;
      if (sessions.some((one) => ownerOf(one) === undefined)) {
        return `${problem}; restart iscsid (systemctl restart iscsid.service), which is left to you, since others have sessions here as well`;
      }
      for (const { session = '' } of found) {
        const limitMs = 2 * (losses.get(session)?.limitMs ?? LOST_MS);
        losses.set(session, { sinceMs: clock.monotonicMs(), limitMs });
      }
      const { outcome, said } = await profile.call('revive', {}, signal);
      return outcome === 'ok' ? undefined : `${problem}, and it cannot be restarted: ${said}`;
    },
  };
};

/** A TCP connection that is closed at once. */
export const reachByTcp: Reach = (address, port) =>
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
