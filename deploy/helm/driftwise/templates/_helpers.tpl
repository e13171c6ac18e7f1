{{/* The name of every object: the name of the release, and "driftwise" unless that name contains it. */}}
{{- define "driftwise.name" -}}
{{- if contains "driftwise" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-driftwise" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* The labels by which a selector finds the pod. */}}
{{- define "driftwise.selector" -}}
app.kubernetes.io/name: driftwise
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "driftwise.labels" -}}
{{ include "driftwise.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}
