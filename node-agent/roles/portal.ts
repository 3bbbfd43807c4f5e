/** `host:port`, `[v6]:port` or a bare host, which means port 3260 (RFC 7143 3.2.6.1). Throws for anything else. */
export const splitPortal = (portal: string): { readonly host: string; readonly port: number } => {
  const match = /^(?:\[(?<v6>[0-9A-Fa-f:.]+)\]|(?<name>[^:[\]\s]+))(?::(?<port>\d{1,5}))?$/.exec(portal);
  const host = match?.groups?.v6 ?? match?.groups?.name;
  const port = Number(match?.groups?.port ?? '3260');
  if (host === undefined || port < 1 || port > 65_535) {
    throw new TypeError(`${JSON.stringify(portal.slice(0, 80))} is no host:port`);
  }
  return { host, port };
};

/** A host as it stands before a port: IPv6 in brackets. */
export const bracketed = (host: string): string => (host.includes(':') ? `[${host}]` : host);

/** `host:port` in the one way that can be compared. */
export const portalName = (portal: string): string => {
  const { host, port } = splitPortal(portal);
  return `${bracketed(host)}:${port}`;
};
