{{- define "vbs.labels" -}}
app.kubernetes.io/name: vbs
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* The labels of the release with more of the user's own. */}}
{{- define "vbs.labelsAnd" -}}
{{ toYaml (merge (include "vbs.labels" .root | fromYaml) .more) }}
{{- end }}

{{- define "vbs.selector" -}}
app.kubernetes.io/name: vbs
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: controller
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
