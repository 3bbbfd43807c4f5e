// The health checks of Argo CD for our kinds, as a patch of its ConfigMap, from the scripts beside it.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { GROUP } from '../../api/resources.ts';

const FOLDER = path.resolve(import.meta.dirname, '../../examples/gitops/argocd');

const SCRIPT_OF = {
  Volume: 'user.lua',
  Snapshot: 'user.lua',
  Attachment: 'user.lua',
  VolumeClass: 'class.lua',
  VolumeServer: 'host.lua',
  Hypervisor: 'host.lua',
} as const;

const HEAD = `# generated from health/ by scripts/generate.ts, do not edit
# kubectl patch configmap argocd-cm -n argocd --patch-file examples/gitops/argocd/argocd-cm.yaml
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
  namespace: argocd
  labels:
    app.kubernetes.io/name: argocd-cm
    app.kubernetes.io/part-of: argocd
data:
`;

export async function argocdPatch(): Promise<string> {
  const entries = await Promise.all(
    Object.entries(SCRIPT_OF).map(async ([kind, file]) => {
      const script = await readFile(path.join(FOLDER, 'health', file), 'utf8');
      return `  resource.customizations.health.${GROUP}_${kind}: |\n${script.replaceAll(/^(?=.)/gm, '    ')}`;
    }),
  );
  return HEAD + entries.join('');
}
