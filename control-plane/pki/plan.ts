// Which certificates there are to be, and which of those that are there have to be made anew. Pure.

const DAY_MS = 86_400_000;
export const CA_DAYS = 3650;
export const LEAF_DAYS = 365;
/** A third of a life. */
const RENEW_DAYS = Math.ceil(LEAF_DAYS / 3);
const CA_WARNING_DAYS = 365;

export interface Leaf {
  /** Of the file, without `.pem`. */
  readonly name: string;
  /** For people. */
  readonly what: string;
  readonly subject: { readonly commonName: string; readonly organizations?: readonly string[] };
  readonly usage: 'server' | 'client';
  readonly names: readonly string[];
}

export const API_SERVER = 'apiserver';
export const ADMIN = 'admin';
export const CONTROLLER = 'controller';
export const CONTROLLER_MANAGER = 'controller-manager';

/** @param served names and addresses of the API server. */
export const leavesFor = (served: readonly string[]): readonly Leaf[] => [
  {
    name: API_SERVER,
    what: 'the API server',
    subject: { commonName: 'kube-apiserver' },
    usage: 'server',
    names: served,
  },
  client(ADMIN, 'the administrator', 'vbs-admin', ['system:masters']),
  client(CONTROLLER_MANAGER, 'the controller manager', 'system:kube-controller-manager', []),
  // As whom deploy/controller.yaml and the admission policies know it.
  client(CONTROLLER, 'the controller', 'system:serviceaccount:vbs-system:vbs-controller', [
    'system:serviceaccounts',
    'system:serviceaccounts:vbs-system',
  ]),
];

const client = (name: string, what: string, commonName: string, organizations: readonly string[]): Leaf => ({
  name,
  what,
  subject: { commonName, organizations },
  usage: 'client',
  names: [],
});

export interface LeafSeen {
  readonly commonName: string;
  /** Names and addresses for which it should be, and is not. */
  readonly lacks: readonly string[];
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** Signed by the CA that is here, over the key that is in the same file. */
  readonly isOurs: boolean;
}

/** Why a certificate has to be made anew; undefined: it is good. `seen` is undefined where there is none, or none that can be read. */
export function whyDue(leaf: Leaf, seen: LeafSeen | undefined, now: Date): string | undefined {
  if (seen === undefined) {
    return 'there is none';
  }
  if (!seen.isOurs || seen.commonName !== leaf.subject.commonName) {
    return 'it is of another CA or for somebody else';
  }
  if (seen.lacks.length > 0) {
    return `it is not for ${seen.lacks.join(', ')}`;
  }
  if (seen.notAfter <= now) {
    return `it ended at ${seen.notAfter.toISOString()}`;
  }
  return daysLeft(seen.notAfter, now) < RENEW_DAYS ? `it ends at ${seen.notAfter.toISOString()}` : undefined;
}

export const daysLeft = (notAfter: Date, now: Date): number =>
  Math.floor((notAfter.getTime() - now.getTime()) / DAY_MS);

interface Validity {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/**
 * From the day on which the program was made, whatever the time is: no clock can be right and earlier. So what is made while the clock is
 * ahead is good when the clock has been set right.
 */
export const caValidity = (now: Date, builtAt: Date): Validity => ({
  notBefore: builtAt,
  notAfter: new Date(now.getTime() + CA_DAYS * DAY_MS),
});

/** From the first day of its CA on, for the same reason. */
export const leafValidity = (ca: Validity, now: Date): Validity => {
  const end = new Date(now.getTime() + LEAF_DAYS * DAY_MS);
  return { notBefore: ca.notBefore, notAfter: end < ca.notAfter ? end : ca.notAfter };
};

/** Why nothing may be made at this time, with the remedy; undefined: something may. */
export function wrongTime(now: Date, { builtAt, ca }: { builtAt: Date; ca?: Validity }): string | undefined {
  const told = `the clock of this machine says ${now.toISOString()}`;
  if (now < builtAt) {
    return `${told}, which is before this program was made (${builtAt.toISOString()}); set the clock (timedatectl)`;
  }
  if (ca !== undefined && now >= ca.notAfter) {
    return `${told}, and the CA ended at ${ca.notAfter.toISOString()}; if the clock is wrong, set it (timedatectl), else: vbs-control-plane renew --ca`;
  }
  return undefined;
}

/** What to say of a CA that is about to end; undefined: nothing. */
export function caWarning(ca: Pick<Validity, 'notAfter'>, now: Date): string | undefined {
  const days = daysLeft(ca.notAfter, now);
  return days >= CA_WARNING_DAYS
    ? undefined
    : `the CA ends in ${days} days: vbs-control-plane renew --ca, and then enrol each host again (docs/standalone.md)`;
}
