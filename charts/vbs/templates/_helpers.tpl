{{- define "vbs.labels" -}}
{{ include "vbs.podLabels" . }}
{{- /* Flux and OCI registries put a build behind the version, with a plus sign, which no label may have. */}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimAll "-_." }}
{{- end }}

{{- /* Without the version of the chart: a new one that changes nothing else starts no pod anew. */}}
{{- define "vbs.podLabels" -}}
app.kubernetes.io/name: vbs
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- /* The labels of the release with more of the user's own. */}}
{{- define "vbs.labelsAnd" -}}
{{ toYaml (merge (include "vbs.labels" .root | fromYaml) .more) }}
{{- end }}

{{- define "vbs.controllerConfig" -}}
namespace: {{ .Release.Namespace }}
logLevel: {{ .Values.controller.logLevel }}
workers: {{ .Values.controller.workers }}
http: { host: {{ .Values.controller.listenOn | quote }}, port: 8080 }
{{- end }}

{{- define "vbs.selector" -}}
app.kubernetes.io/name: vbs
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: controller
{{- end }}

{{- /* Nodes for which there are images, and which have the labels that are given. */}}
{{- define "vbs.platform" -}}
{{ toYaml (merge (dict "kubernetes.io/os" "linux" "kubernetes.io/arch" "amd64") .) }}
{{- end }}

{{- define "vbs.image" -}}
{{- $root := .root -}}
{{- $name := printf "%s%s" (ternary "" (printf "%s/" (trimSuffix "/" $root.Values.imageRepository)) (empty $root.Values.imageRepository)) .name -}}
{{- if .digest -}}
{{ printf "%s@%s" $name .digest }}
{{- else -}}
{{ printf "%s:%s" $name (default $root.Chart.AppVersion $root.Values.image.tag) }}
{{- end -}}
{{- end }}

{{- /* Documents of a file of deploy/, in this namespace, with the labels of the release, without the namespace itself. */}}
{{- define "vbs.documents" -}}
{{- $labels := include "vbs.labels" .root | fromYaml -}}
{{- $annotations := default dict .annotations -}}
{{- range $text := splitList "\n---\n" (.text | replace "vbs-system" .root.Release.Namespace) }}
{{- $document := fromYaml $text }}
{{- if not (and (eq $document.kind "Namespace") (eq $document.metadata.name $.root.Release.Namespace)) }}
{{- $_ := set $document.metadata "labels" (merge dict $labels (default dict $document.metadata.labels)) }}
{{- if $annotations }}
{{- $_ := set $document.metadata "annotations" (merge dict $annotations (default dict $document.metadata.annotations)) }}
{{- end }}
---
{{ toYaml $document }}
{{- end }}
{{- end }}
{{- end }}
