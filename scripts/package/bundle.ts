// A program and the packages it uses as one CommonJS text, which is what a single executable can hold.

import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { build, type Plugin } from 'esbuild';

const ROOT = path.resolve(import.meta.dirname, '../..');

export interface Bundle {
  readonly text: string;
  /** The npm packages of which something is inside, sorted by name. */
  readonly packages: readonly BundledPackage[];
}

export interface BundledPackage {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  /** The text of its license file. */
  readonly licenseText: string;
}

const ENTRIES = {
  'vbs-node-agent': 'node-agent/executable.ts',
  'vbs-controller': 'controller/executable.ts',
  'vbs-control-plane': 'scripts/package/standalone.ts',
};
export type ProgramName = keyof typeof ENTRIES;

/** The same sources make the same text, wherever the checkout stands. */
export const bundleProgram = async (name: ProgramName): Promise<Bundle> => {
  const result = await build({
    entryPoints: [path.join(ROOT, ENTRIES[name])],
    absWorkingDir: ROOT,
    bundle: true,
    write: false,
    outfile: `${name}.cjs`,
    platform: 'node',
    format: 'cjs',
    target: 'node24',
    // Names stay as they are written: they stand in stack traces, and in the log as the kinds of errors.
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: 'none',
    metafile: true,
    logLevel: 'silent',
    plugins: [kubeconfigOnly],
    // There is no folder of sources round the executable.
    define: { 'import.meta.dirname': '""', 'import.meta.main': 'false' },
  });
  if (result.warnings.length > 0) {
    throw new Error(`esbuild: ${result.warnings.map(({ text }) => text).join('; ')}`);
  }
  const [output] = Object.values(result.metafile.outputs);
  const inside = Object.entries(output?.inputs ?? {}).flatMap(([file, { bytesInOutput }]) =>
    bytesInOutput > 0 ? [file] : [],
  );
  return { text: result.outputFiles[0]?.text ?? '', packages: await packagesOf(inside) };
};

/** Of the Kubernetes client our programs need what reads kubeconfigs; its package does not say that the other 850 files may stay away. */
const kubeconfigOnly: Plugin = {
  name: 'kubeconfig-only',
  setup: ({ onResolve, resolve }) => {
    onResolve({ filter: /^(\.|@kubernetes\/client-node$)/ }, async (args) => {
      const isInside = args.importer.includes('/@kubernetes/client-node/');
      if (args.pluginData === 'resolved' || (args.path.startsWith('.') && !isInside)) {
        return undefined;
      }
      const { kind, importer, resolveDir, with: attributes } = args;
      const found = await resolve(args.path, {
        kind,
        importer,
        resolveDir,
        with: attributes,
        pluginData: 'resolved',
      });
      return found.errors.length > 0 ? found : { path: found.path, sideEffects: false };
    });
  },
};

const packagesOf = async (files: readonly string[]): Promise<BundledPackage[]> => {
  const places = files.flatMap((file) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1] ?? []);
  const packages = await Promise.all([...new Set(places)].sort().map(readPackage));
  return packages.sort((a, b) => compare(`${a.name} ${a.version}`, `${b.name} ${b.version}`));
};

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

const readPackage = async (place: string): Promise<BundledPackage> => {
  const folder = path.join(ROOT, place);
  const { name, version, license } = JSON.parse(
    await readFile(path.join(folder, 'package.json'), 'utf8'),
  ) as Omit<BundledPackage, 'licenseText'>;
  const file = (await readdir(folder)).sort().find((entry) => /^(licen[cs]e|copying)/i.test(entry));
  const licenseText = file === undefined ? '' : await readFile(path.join(folder, file), 'utf8');
  return { name, version, license, licenseText: licenseText.trim() };
};
