// `vbs-control-plane enroll HOST`: the identity of a host, and what a person types there to give it to it.
import { joinText } from '../api/join.ts';
import { AGENT_ACCOUNT, hostNamespace } from '../api/names.ts';
import { ConfigError } from '../runtime/errors.ts';
import { applyHosts, enrolledHosts, HOST_ROLES, type HostRole, kubectlOf } from './cluster.ts';
import type { Kubectl } from './command.ts';
import { type ControlPlaneConfig, isLoopback, publicServer } from './config.ts';
import { readAuthority } from './pki/authority.ts';
import type { Surroundings } from './surroundings.ts';

const LIFETIME = '1h';
/** As in the agent's own configuration. */
const HOST_NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const LONGEST_NAME = 52;

export interface EnrollCommand {
  readonly host: string;
  /** Undefined: those it has. */
  readonly roles: readonly HostRole[] | undefined;
  /** Nothing but the join text is printed, for a pipe. */
  readonly onlyJoinText: boolean;
}

export async function enroll(
  surroundings: Surroundings,
  config: ControlPlaneConfig,
  { host, roles: given, onlyJoinText }: EnrollCommand,
): Promise<void> {
  const { tell, warn } = surroundings;
  const kubectl = kubectlOf(surroundings, config);
  const { certificate } = await readAuthority(surroundings);
  const roles = given ?? (await rolesOf(kubectl, host));
  await applyHosts(surroundings, kubectl, [{ host, roles }]);
  const token = await kubectl([
    ...['create', 'token', AGENT_ACCOUNT, `--namespace=${hostNamespace(host)}`, `--duration=${LIFETIME}`],
  ]);
  const text = joinText({ server: publicServer(config), ca: certificate, token: token.trim() });
  if (isLoopback(config.address)) {
    warn(
      `(${config.address} is reached from this machine only: other hosts need another address in control-plane.yaml, and a join text made after that)`,
    );
  }
  if (onlyJoinText) {
    tell(text);
    return;
  }
  tell(
    `${host} has an identity (${roles.join(', ')}). Within an hour, as root on ${host}, with \`host: ${host}\` in /etc/vbs/agent.yaml:`,
  );
  tell('');
  tell(`vbs-node-agent enroll --config /etc/vbs/agent.yaml --join-file - <<'JOIN'\n${text}\nJOIN`);
  tell('');
}

async function rolesOf(kubectl: Kubectl, host: string): Promise<readonly HostRole[]> {
  const known = (await enrolledHosts(kubectl)).find((one) => one.host === host);
  if (known === undefined || known.roles.length === 0) {
    throw new ConfigError(
      `${host} has no role yet: say with --roles what it is, ${HOST_ROLES.join(' or ')}, or both with a comma`,
    );
  }
  return known.roles;
}

/** Throws ConfigError naming the argument. */
export function enrollCommandFrom(
  host: string | undefined,
  {
    roles,
    'join-text': onlyJoinText = false,
  }: { roles?: string | undefined; 'join-text'?: boolean | undefined },
): EnrollCommand {
  if (host === undefined || !HOST_NAME.test(host) || host.length > LONGEST_NAME) {
    throw new ConfigError(
      `enroll ${host ?? ''}: give the name of the host as in its agent.yaml: lower-case letters, digits and -, at most ${LONGEST_NAME} of them`,
    );
  }
  return { host, roles: roles === undefined ? undefined : rolesFrom(roles), onlyJoinText };
}

function rolesFrom(text: string): readonly HostRole[] {
  const given = text.split(',');
  const wrong = given.find((role) => !HOST_ROLES.some((known) => known === role));
  if (wrong !== undefined) {
    throw new ConfigError(
      `--roles ${text}: there is no role ${wrong}; give ${HOST_ROLES.join(' or ')}, or both with a comma`,
    );
  }
  return HOST_ROLES.filter((role) => given.includes(role));
}
