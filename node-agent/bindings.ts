// Joins the configured profiles to the roles of this host.
import { createHash } from 'node:crypto';
import path from 'node:path';
import { isSea } from 'node:sea';
import { ConfigError } from '../runtime/errors.ts';
import type { Log } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import type { AgentConfig, RoleConfig } from './config.ts';
import { createRunCommand, type RunCommand } from './exec/command.ts';
import { errorCode, type Files } from './exec/files.ts';
import { createLocks } from './exec/locks.ts';
import type { ProfileFact } from './host/facts.ts';
import { type BoundProfile, bind } from './profiles/bind.ts';
import { loadProfile, type Profile } from './profiles/load.ts';
import { ProfileError } from './profiles/problems.ts';
import type { RoleName } from './profiles/vocabulary.ts';

/** The package installs them where an administrator looks for configuration, and keeps his changes. */
export const SHIPPED = isSea() ? '/etc/vbs/profiles' : path.join(import.meta.dirname, 'profiles', 'shipped');

export interface BindingDeps {
  readonly config: AgentConfig;
  readonly files: Files;
  readonly log: Log;
  readonly metrics: Metrics;
  /** What starts the tools; the host's own starter when absent. */
  readonly run?: RunCommand;
  /** Binds also to a version which the profile says must not be used. */
  readonly anyVersion?: true;
}

export type BindRole = (role: RoleName, config: RoleConfig) => Promise<BoundProfile>;

/** Throws ProfileError with file and line for a profile that must not be used. */
export function binder({ config, files, log, metrics, run: given, anyVersion }: BindingDeps): BindRole {
  const locks = createLocks();
  const directory = path.join(config.stateDir, 'tmp');
  const run = given ?? createRunCommand(directory);
  return async (role, { profile: name, params }) => {
    const profile = await findProfile([...config.profileDirectories, SHIPPED], name, role);
    const bound = bind(profile, {
      run,
      files,
      params,
      locks,
      log,
      directory,
      onCommand: ({ tool, verb, outcome, durationMs, argv }) => {
        metrics.commanded({ tool, verb, outcome }, durationMs);
        log.debug(
          { profile: name, verb, tool, outcome, durationMs: Math.round(durationMs), argv },
          'Ran step',
        );
      },
    });
    if (anyVersion !== true) {
      await refuseBadVersion(bound);
    }
    return bound;
  };
}

/** Throws ProfileError for a version that the profile says must not be used. A tool that is not up yet says none. */
async function refuseBadVersion({ name, profile, version }: BoundProfile): Promise<void> {
  if (profile.format.versions === undefined) {
    return;
  }
  const found = await version(AbortSignal.timeout(10_000)).catch(() => undefined);
  if (found?.bad !== undefined) {
    throw new ProfileError(profile.file, [
      `${profile.file}: ${name} cannot be used with version ${found.version}: ${found.bad}`,
    ]);
  }
}

async function findProfile(directories: readonly string[], name: string, role: RoleName): Promise<Profile> {
  for (const directory of directories) {
    try {
      return await loadProfile(path.join(directory, `${name}.yaml`), role);
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') {
        throw error;
      }
    }
  }
  throw new ConfigError(`there is no profile ${name}.yaml in ${directories.join(', ')}`);
}

/** What the host's status says of a profile in use; several pools are one row with one hash. */
export async function profileFacts(
  bound: readonly (readonly [role: string, profile: BoundProfile])[],
  signal: AbortSignal,
): Promise<readonly ProfileFact[]> {
  const byRole = new Map<string, BoundProfile[]>();
  for (const [role, profile] of bound) {
    byRole.set(role, [...(byRole.get(role) ?? []), profile]);
  }
  const facts: ProfileFact[] = [];
  for (const [role, profiles] of byRole) {
    const names = [...new Set(profiles.map(({ name }) => name))];
    const hashes = [...new Set(profiles.map(({ hash }) => hash))];
    const version = await profiles[0]?.version(signal).catch(() => undefined);
    const [only = ''] = hashes;
    facts.push({
      role,
      name: names.join('+').slice(0, 63),
      hash: hashes.length === 1 ? only : createHash('sha256').update(hashes.join('')).digest('hex'),
      ...(version === undefined ? {} : { toolVersion: version.version.slice(0, 128) }),
    });
  }
  return facts;
}
