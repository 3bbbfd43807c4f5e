// /etc/vbs/control-plane.yaml: what an administrator decides.
import { isIP, SocketAddress } from 'node:net';
import { stringify } from 'yaml';
import { parseConfig } from '../runtime/config.ts';
import { ConfigError } from '../runtime/errors.ts';
import { machineDisk } from './files.ts';

export interface ControlPlaneConfig {
  /** Under which hosts and people reach the API server: an IP address or a name. */
  readonly address: string;
  /** More of them, for its certificate. */
  readonly alternativeAddresses: readonly string[];
  readonly listen: {
    /** The one address on which the API server listens; 0.0.0.0 and :: are all of them. */
    readonly address: string;
    readonly port: number;
  };
  /** Where the controller serves metrics, on 127.0.0.1. */
  readonly controllerPort: number;
  readonly backup: { readonly directory: string; readonly keepDays: number };
}

const LOOPBACK = '127.0.0.1';
const NAME = '^[A-Za-z0-9]([-A-Za-z0-9.:]*[A-Za-z0-9])?$|^::1?$';
const address = { type: 'string', pattern: NAME, maxLength: 253 };
const port = (fallback: number) => ({ type: 'integer', minimum: 1024, maximum: 65535, default: fallback });
const closed = (properties: object) => ({ type: 'object', additionalProperties: false, properties });
const section = (properties: object) => ({ ...closed(properties), default: {} });

const schema = closed({
  address: { ...address, default: LOOPBACK },
  alternativeAddresses: { type: 'array', items: address, default: [] },
  listen: section({ address: { ...address, default: LOOPBACK }, port: port(6443) }),
  controllerPort: port(9786),
  backup: section({
    directory: { type: 'string', pattern: '^/.', default: '/var/backups/vbs' },
    keepDays: { type: 'integer', minimum: 1, maximum: 3650, default: 14 },
  }),
});

/** Throws ConfigError naming file, line, key and remedy. */
export async function loadControlPlaneConfig(file: string): Promise<ControlPlaneConfig> {
  const text = await machineDisk.read(file);
  if (text === undefined) {
    throw new ConfigError(
      `there is no ${file}; make the control plane of this machine first: vbs-control-plane init`,
    );
  }
  return parseControlPlaneConfig(file, text);
}

export const parseControlPlaneConfig = (file: string, text: string): ControlPlaneConfig =>
  checked(file, parseConfig<ControlPlaneConfig>(file, text, schema));

function checked(file: string, written: ControlPlaneConfig): ControlPlaneConfig {
  const { address, alternativeAddresses } = written;
  for (const one of [address, ...alternativeAddresses]) {
    refuseWithPort(`${file}: address`, one);
  }
  const listen = { ...written.listen, address: usual(written.listen.address) };
  const config = {
    ...written,
    address: usual(address),
    alternativeAddresses: alternativeAddresses.map(usual),
    listen,
  };
  refuseUnreachable(file, config);
  return config;
}

/** As machines and certificates write it: `2001:DB8:0::1` is `2001:db8::1`. */
const usual = (address: string): string =>
  isIP(address) === 6 ? new SocketAddress({ address, family: 'ipv6' }).address : address;

function refuseWithPort(what: string, address: string): void {
  if (isIP(address) === 0 && /:|^[\d.]+$/.test(address)) {
    throw new ConfigError(
      `${what}: ${address} is neither an IP address nor a name; another port than 6443 is given with --listen ADDRESS:PORT, or in listen.port`,
    );
  }
}

function refuseUnreachable(file: string, { address, listen }: ControlPlaneConfig): void {
  if (isIP(listen.address) === 0) {
    throw new ConfigError(
      `${file}: listen.address: ${listen.address} is no IP address; give one of this machine, or 0.0.0.0 for all of them`,
    );
  }
  if (isUnspecified(address)) {
    throw new ConfigError(
      `${file}: address: hosts cannot connect to ${address}; give an address or name of this machine which they reach`,
    );
  }
  if (isLoopback(listen.address) && !isLoopback(address)) {
    throw new ConfigError(
      `${file}: listen.address: hosts are told to connect to ${address}, and ${listen.address} is reached from this machine only; set listen.address to an address of this machine, or to 0.0.0.0`,
    );
  }
}

export const isUnspecified = (address: string): boolean => address === '0.0.0.0' || address === '::';
export const isLoopback = (address: string): boolean =>
  address === 'localhost' || address === '::1' || /^127\./.test(address);

/** `[::1]:6443`. */
const withPort = (address: string, port: number): string =>
  isIP(address) === 6 ? `[${address}]:${port}` : `${address}:${port}`;

/** Where the programs of this machine reach the API server: its own name may not resolve here. */
export function localServer({ listen }: ControlPlaneConfig): string {
  const own = listen.address === '::' ? '::1' : listen.address === '0.0.0.0' ? LOOPBACK : listen.address;
  return `https://${withPort(own, listen.port)}`;
}

/** Where hosts and people reach it. */
export const publicServer = ({ address, listen }: ControlPlaneConfig): string =>
  `https://${withPort(address, listen.port)}`;

/** For the certificate of the API server. */
export function servedNames({
  address,
  alternativeAddresses,
  listen,
}: ControlPlaneConfig): readonly string[] {
  const own = isUnspecified(listen.address) ? [] : [listen.address];
  return [...new Set([address, ...alternativeAddresses, ...own, LOOPBACK, '::1', 'localhost'])];
}

export interface InitOptions {
  /** The first is the one that hosts are told. */
  readonly addresses: readonly string[];
  /** An address, or one with a port. */
  readonly listen?: string | undefined;
}

/** The configuration as `init` writes it first. Throws a ConfigError that names the option. */
export function configFrom({ addresses, listen }: InitOptions): ControlPlaneConfig {
  for (const one of addresses) {
    refuseWithPort('--address', one);
  }
  const listens = parseListen(listen ?? defaultListen(addresses[0] ?? LOOPBACK));
  const [address = toldFor(listens.address), ...alternativeAddresses] = addresses;
  const text = stringify({ address, alternativeAddresses, listen: listens });
  return parseControlPlaneConfig('--address, --listen', text);
}

/** What hosts are told where that is not said. */
function toldFor(listens: string): string {
  if (isUnspecified(listens)) {
    throw new ConfigError(
      `--listen ${listens}: these are all addresses of this machine: say with --address which one, or which name, hosts connect to`,
    );
  }
  return listens;
}

function defaultListen(address: string): string {
  if (address === 'localhost') {
    return LOOPBACK;
  }
  if (isIP(address) === 0) {
    throw new ConfigError(
      `--address ${address} is a name: say with --listen which address of this machine the API server listens on, or 0.0.0.0 for all of them`,
    );
  }
  return address;
}

function parseListen(text: string): { address: string; port?: number } {
  if (isIP(text) !== 0) {
    return { address: usual(text) };
  }
  const [, six, four, port = ''] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? [];
  const address = six ?? four ?? '';
  if (isIP(address) === 0) {
    throw new ConfigError(
      `--listen ${text}: give an IP address of this machine, with a port if it is not 6443: 192.0.2.10:6443 or [2001:db8::10]:6443`,
    );
  }
  return { address: usual(address), port: Number(port) };
}

/** With what each key means, for whoever edits it. */
export function configText({
  address,
  alternativeAddresses,
  listen,
  controllerPort,
  backup,
}: ControlPlaneConfig): string {
  return `# The control plane of the Virtual Block Store on this machine. After a change: vbs-control-plane init

# Under which hosts and people reach the API server, an IP address or a name; and more of them, for its certificate.
address: ${JSON.stringify(address)}
alternativeAddresses: ${JSON.stringify(alternativeAddresses)}

# The one address of this machine on which it listens; 0.0.0.0 for all of them.
listen:
  address: ${JSON.stringify(listen.address)}
  port: ${listen.port}

# On 127.0.0.1: health and metrics of the controller.
controllerPort: ${controllerPort}

# Once a day, and before each upgrade. Whoever reads a backup can read every Secret in it, and play every host.
backup:
  directory: ${JSON.stringify(backup.directory)}
  keepDays: ${backup.keepDays}
`;
}
