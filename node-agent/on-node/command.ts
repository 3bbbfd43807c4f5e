// `vbs-node-agent on-node`, by which the agent begins in a pod: it brings itself to the node, gets the node its identity, and goes on there, in the host's own
// namespaces, since LVM waits for udev in the host's IPC namespace and the tools need its devices and mounts. The process stays the same one, so that
// Kubernetes ends the agent itself.
import path from 'node:path';
import type { Clock } from '../../runtime/clock.ts';
import { ConfigError } from '../../runtime/errors.ts';
import { createLog } from '../../runtime/log.ts';
import { loadAgentConfig } from '../config.ts';
import type { EnrollArguments } from '../enrolment/command.ts';
import { DEFAULT_PATH } from '../exec/command.ts';
import type { Files } from '../exec/files.ts';
import type { NodeEnrolment } from './identity.ts';
import { type Image, install } from './install.ts';
import { type Node, readSettings, settingsText } from './settings.ts';

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

export interface OnNodeArguments extends Omit<EnrollArguments, 'join-file'> {
  readonly config: string;
}

export interface PodSurroundings {
  readonly files: Files;
  readonly clock: Clock;
  readonly image: Image;
  /** Of the pod. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly enroll: (enrolment: NodeEnrolment) => Promise<void>;
  /** Makes this process another one; see execve(2). */
  readonly become: (file: string, args: readonly string[], environment: Record<string, string>) => void;
}

/** Throws a ConfigError that names the remedy. */
export async function onNode(
  { config: given, server, 'ca-file': caFile, 'token-file': tokenFile }: OnNodeArguments,
  { files, clock, image, environment, enroll, become }: PodSurroundings,
): Promise<void> {
  const node = nodeIn(environment);
  const settings = await readSettings(files, given, node);
  const { program, profileDirectories } = await install(image, settings.stateDir);
  const file = path.join(settings.stateDir, 'agent.yaml');
  await files.writeAtomic(file, settingsText(settings, node, profileDirectories), 0o600);
  const config = await loadAgentConfig(file);
  await enroll({
    config,
    server: server ?? serverIn(environment),
    caFile: caFile ?? `${ACCOUNT}/ca.crt`,
    tokenFile: tokenFile ?? `${ACCOUNT}/token`,
    files,
    clock,
    log: createLog({ level: config.logLevel, name: 'node-agent' }).child({ host: config.host }),
  });
  const enter = ['--target', '1', '--mount', '--uts', '--ipc', '--net', '--cgroup', '--'];
  const args = [...enter, program, 'run', '--config', file, '--leave-control-groups'];
  become('/usr/bin/nsenter', args, { PATH: DEFAULT_PATH });
}

function nodeIn({ NODE_NAME, NODE_IP }: PodSurroundings['environment']): Node {
  if (!NODE_NAME || !NODE_IP) {
    throw new ConfigError('on-node is for the pods of the chart vbs, which set NODE_NAME and NODE_IP');
  }
  return { name: NODE_NAME, address: NODE_IP };
}

/** As Kubernetes tells every pod. */
function serverIn({
  KUBERNETES_SERVICE_HOST: host,
  KUBERNETES_SERVICE_PORT: port,
}: PodSurroundings['environment']): string {
  if (!host || !port) {
    throw new ConfigError('give the URL of the API server with --server: this pod was not told of it');
  }
  return `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
