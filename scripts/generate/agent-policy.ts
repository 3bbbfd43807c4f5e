// The admission policies which keep every host to its own blocks of its own objects. One policy a kind: which
// top-level status fields exist is read from the CRD, so that a new field is closed to hosts until it is opened here.
import { stringify } from 'yaml';
import type { Crd } from '../generate.ts';

export interface AgentBlock {
  readonly kind: string;
  /** The top-level status field which the host may write. */
  readonly block: string;
  /** `name`: the object's own name is the host; else the CEL path of the field which names the host. */
  readonly host: string;
}

const HOST_USERS = 'system:serviceaccount:vbs-host-';

const variables = [
  {
    name: 'host',
    expression: `request.userInfo.username.substring(${HOST_USERS.length}).split(':')[0]`,
  },
];

const isHost = [
  { name: 'is-a-host-agent', expression: `request.userInfo.username.startsWith('${HOST_USERS}')` },
];

function statusValidations(crd: Crd, blocks: readonly AgentBlock[]): object[] {
  const fields = Object.keys(
    crd.spec.versions[0].schema.openAPIV3Schema.properties?.status?.properties ?? {},
  );
  const same = (field: string) => `object.?status.?${field} == oldObject.?status.?${field}`;
  return fields.map((field) => {
    const open = blocks.find(({ block }) => block === field);
    if (open === undefined) {
      return { expression: same(field), message: `status.${field} is written by the controller only` };
    }
    const mine =
      open.host === 'name'
        ? 'oldObject.metadata.name == variables.host'
        : `${open.host.replace('object', 'oldObject')} == optional.of(variables.host)`;
    return {
      expression: `${same(field)} || ${mine}`,
      message: `status.${field} is written by the host which the object names, and you are another`,
    };
  });
}

function policy(crd: Crd, blocks: readonly AgentBlock[]): object[] {
  const { kind, plural } = crd.spec.names;
  const name = `vbs-agents-${plural}`;
  const own = blocks.some(({ host }) => host === 'name');
  const rule = (resources: string[], operations: string[]) => ({
    apiGroups: ['vbs.dev'],
    apiVersions: ['v1alpha1'],
    operations,
    resources,
  });
  const mainRules = own
    ? {
        expression:
          "request.?subResource.orValue('') == 'status' || request.operation == 'CREATE' && object.metadata.name == variables.host && !has(object.spec) && !has(object.metadata.finalizers)",
        message: `a host may only create its own ${kind}, named like itself and without a spec`,
      }
    : {
        expression: "request.?subResource.orValue('') == 'status'",
        message: `a host may not create, change or delete a ${kind}, only report in its status`,
      };
  const guarded = (validation: { expression: string; message: string }) => ({
    ...validation,
    expression: `request.?subResource.orValue('') != 'status' || (${validation.expression})`,
    reason: 'Forbidden',
  });
  return [
    {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingAdmissionPolicy',
      metadata: { name },
      spec: {
        failurePolicy: 'Fail',
        matchConstraints: {
          resourceRules: [rule([plural, `${plural}/status`], ['CREATE', 'UPDATE', 'DELETE'])],
        },
        matchConditions: isHost,
        variables,
        validations: [
          { ...mainRules, reason: 'Forbidden' },
          ...statusValidations(crd, blocks).map((one) =>
            guarded(one as { expression: string; message: string }),
          ),
        ],
      },
    },
    {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingAdmissionPolicyBinding',
      metadata: { name },
      spec: { policyName: name, validationActions: ['Deny'] },
    },
  ];
}

/** One policy and its binding a kind with status; classes, which hosts never write, are closed by RBAC alone. */
export function agentPolicy(crds: readonly Crd[], blocks: readonly AgentBlock[]): string {
  const documents = crds
    .filter((crd) => blocks.some(({ kind }) => kind === crd.spec.names.kind))
    .flatMap((crd) =>
      policy(
        crd,
        blocks.filter(({ kind }) => kind === crd.spec.names.kind),
      ),
    );
  const head = '# generated from crds/ by scripts/generate.ts, do not edit\n';
  return head + documents.map((document) => stringify(document, { lineWidth: 0 })).join('---\n');
}
