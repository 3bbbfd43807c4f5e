// What the admission policies of hosts and controller are made of. One policy a kind: which top-level status fields
// exist is read from the CRD, so that a new field is closed to hosts until it is opened to one.
import { stringify } from 'yaml';
import type { Crd } from '../generate.ts';

/** A top-level status field which a host writes; all others are the controller's. */
export interface AgentBlock {
  readonly kind: string;
  readonly block: string;
  /** `name`: the object's own name is the host; else the CEL path of the field which names the host. */
  readonly host: string;
}

export interface Validation {
  readonly expression: string;
  readonly message: string;
}

export interface Policy {
  readonly name: string;
  readonly plural: string;
  readonly operations: readonly string[];
  /** Whom it is about. */
  readonly matchCondition: { readonly name: string; readonly expression: string };
  readonly variables?: readonly { readonly name: string; readonly expression: string }[];
  readonly validations: readonly Validation[];
}

export const same = (path: string): string => {
  const steps = path.replaceAll('.', '.?');
  return `object.?${steps} == oldObject.?${steps}`;
};

const ON_STATUS = "request.?subResource.orValue('') == 'status'";

/** On the object itself anything is refused but what the expression allows. */
export const onObject = ({ expression, message }: Validation): Validation => ({
  expression: expression === 'false' ? ON_STATUS : `${ON_STATUS} || ${expression}`,
  message,
});

export const onStatus = ({ expression, message }: Validation): Validation => ({
  expression: `${ON_STATUS.replace('==', '!=')} || (${expression})`,
  message,
});

export const statusFieldsOf = (crd: Crd): readonly string[] =>
  Object.keys(crd.spec.versions[0].schema.openAPIV3Schema.properties?.status?.properties ?? {});

/** The policy and its binding. */
export const policyDocuments = (policy: Policy): readonly object[] => [
  {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingAdmissionPolicy',
    metadata: { name: policy.name },
    spec: {
      failurePolicy: 'Fail',
      matchConstraints: {
        resourceRules: [
          {
            apiGroups: ['vbs.dev'],
            apiVersions: ['v1alpha1'],
            operations: policy.operations,
            resources: [policy.plural, `${policy.plural}/status`],
          },
        ],
      },
      matchConditions: [policy.matchCondition],
      ...(policy.variables === undefined ? {} : { variables: policy.variables }),
      validations: policy.validations.map((validation) => ({ ...validation, reason: 'Forbidden' })),
    },
  },
  {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingAdmissionPolicyBinding',
    metadata: { name: policy.name },
    spec: { policyName: policy.name, validationActions: ['Deny'] },
  },
];

/** The YAML of the policies which are made for each kind that has a block of a host. */
export function policyFile(
  crds: readonly Crd[],
  blocks: readonly AgentBlock[],
  policyOf: (crd: Crd, own: readonly AgentBlock[]) => Policy,
): string {
  const documents = crds
    .map((crd) => ({ crd, own: blocks.filter(({ kind }) => kind === crd.spec.names.kind) }))
    .filter(({ own }) => own.length > 0)
    .flatMap(({ crd, own }) => policyDocuments(policyOf(crd, own)));
  const head = '# generated from crds/ by scripts/generate.ts, do not edit\n';
  return head + documents.map((document) => stringify(document, { lineWidth: 0 })).join('---\n');
}
