import { readFile, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type Socket } from 'node:net';

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
}

/** Stands between a client and a TCP port and misbehaves on demand; the kernel still acknowledges every byte. */
export class TcpProxy {
  /** New connections are ended at once. */
  refusing = false;
  /** New connections are accepted and never served. */
  swallowing = false;
  readonly #target: number;
  readonly #pairs = new Set<Pair>();
  readonly #swallowed = new Set<Socket>();
  readonly #server = createServer((client) => this.#accept(client));

  constructor(target: number) {
    this.#target = target;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Accepted and passed on so far. */
  connections = 0;

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
  }

  /** A copy of a kubeconfig that goes through here. */
  async kubeconfig(original: string): Promise<string> {
    const text = await readFile(original, 'utf8');
    const copy = `${original}-via-${this.port}`;
    await writeFile(copy, text.replace(`:${this.#target}`, `:${this.port}`), { mode: 0o600 });
    return copy;
  }

  /** The connections of now go silent without ending. */
  freeze(): void {
    for (const { client, server } of this.#pairs) {
      client.unpipe(server);
      server.unpipe(client);
      client.resume();
      server.resume();
    }
  }

  /** The connections of now break. */
  cut(): void {
    for (const { client, server } of this.#pairs) {
      client.destroy();
      server.destroy();
    }
  }

  async stop(): Promise<void> {
    this.refusing = true;
    this.cut();
    for (const socket of this.#swallowed) {
      socket.destroy();
    }
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(client: Socket): void {
    client.on('error', () => {});
    if (this.refusing) {
      client.destroy();
      return;
    }
    if (this.swallowing) {
      this.#swallowed.add(client.resume());
      return;
    }
    const server = connect(this.#target, '127.0.0.1');
    const pair = { client, server };
    this.#pairs.add(pair);
    this.connections += 1;
    const end = () => {
      client.destroy();
      server.destroy();
      this.#pairs.delete(pair);
    };
    server.on('error', end).on('close', end);
    client.on('close', end);
    client.pipe(server);
    server.pipe(client);
  }
}
