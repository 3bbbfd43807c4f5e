// The network of the pods: a bridge of its own, on which the machine has two addresses. One is that of the node; under the other, that of the Service
// `kubernetes`, connections are passed on to the API server, so that neither kube-proxy nor a rule of the machine's firewall is needed.
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import path from 'node:path';
import { runCommand } from '../process.ts';
import { noteUndo } from '../workdir.ts';

export interface PodNetwork {
  readonly bridge: string;
  readonly nodeAddress: string;
  readonly podRange: string;
  readonly serviceRange: string;
  /** Of the Service `kubernetes`, which has the first one of the range. */
  readonly apiAddress: string;
}

/** Two neighbouring ranges that no interface of this machine is in. */
const freeRanges = (): { pods: string; services: string } => {
  const used = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  for (let round = 0; round < 100; round += 1) {
    const second = 128 + Math.floor(Math.random() * 100);
    if (!used.some(({ address }) => address.startsWith(`10.${second}.`))) {
      return { pods: `10.${second}.0`, services: `10.${second}.1` };
    }
  }
  throw new Error('no private network is free');
};

/** Makes the bridge, which goes with the work directory and is called like it. */
export const makeNetwork = async (dir: string): Promise<PodNetwork> => {
  const { pods, services } = freeRanges();
  const bridge = path.basename(dir);
  await noteUndo(dir, ['ip', 'link', 'delete', bridge]);
  await runCommand('ip', ['link', 'add', bridge, 'type', 'bridge']);
  for (const address of [`${pods}.1/24`, `${services}.1/32`]) {
    await runCommand('ip', ['address', 'add', address, 'dev', bridge]);
  }
  await runCommand('ip', ['link', 'set', bridge, 'up']);
  return {
    bridge,
    nodeAddress: `${pods}.1`,
    podRange: `${pods}.0/24`,
    serviceRange: `${services}.0/24`,
    apiAddress: `${services}.1`,
  };
};

/** For libcni: pods get a port of the bridge, and find everything else behind it. */
export const cniConfiguration = ({ bridge, podRange, nodeAddress }: PodNetwork): object => ({
  cniVersion: '0.4.0',
  name: bridge,
  plugins: [
    {
      type: 'bridge',
      bridge,
      ipam: {
        type: 'host-local',
        ranges: [[{ subnet: podRange, gateway: nodeAddress }]],
        routes: [{ dst: '0.0.0.0/0' }],
      },
    },
  ],
});

/** Passes connections on until it is called off. */
export const passOn = async (
  from: { readonly address: string; readonly port: number },
  toPort: number,
): Promise<() => Promise<void>> => {
  const open = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(toPort, '127.0.0.1');
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      open.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        open.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  });
  server.listen(from.port, from.address);
  await once(server, 'listening');
  return async () => {
    server.close();
    for (const socket of open) {
      socket.destroy();
    }
    await once(server, 'close');
  };
};
