import packageJson from '../package.json' with { type: 'json' };

/** Of the control plane; the executable carries it inside. */
export const VERSION: string = packageJson.version;
