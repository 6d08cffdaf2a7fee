{{/* The chart's name in names of objects. */}}
{{- define "pi-edge-spark.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* The prefix of all names of objects; short enough for every suffix within 63 characters. */}}
{{- define "pi-edge-spark.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "pi-edge-spark.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A name without a namespace must not be that of another release's object. */}}
{{- define "pi-edge-spark.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "pi-edge-spark.fullname" .) -}}
{{- end -}}

{{/* The labels of every object. Argument: (dict "root" $ "component" "…") */}}
{{- define "pi-edge-spark.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: pi-edge-spark
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{ include "pi-edge-spark.selector" . }}
{{- end -}}

{{/* The labels that never change, by which a Deployment finds its pods. */}}
{{- define "pi-edge-spark.selector" -}}
app.kubernetes.io/name: {{ include "pi-edge-spark.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* repository@digest, or repository:tag, of one of .Values.images */}}
{{- define "pi-edge-spark.image" -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository .tag -}}
{{- end -}}
{{- end -}}

{{- define "pi-edge-spark.landingHost" -}}
{{- include "pi-edge-spark.fullname" . }}-landing.{{ .Release.Namespace }}.svc
{{- end -}}

{{- define "pi-edge-spark.landingClaim" -}}
{{- .Values.landing.storage.existingClaim | default (printf "%s-results" (include "pi-edge-spark.fullname" .)) -}}
{{- end -}}

{{/* What Pod Security's level `restricted` asks of a pod, and of each container. */}}
{{- define "pi-edge-spark.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "pi-edge-spark.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Where a pod may run, and how much it matters. Argument: .Values.operator, landing or agent */}}
{{- define "pi-edge-spark.placement" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The namespaces whose jobs are served with accounts and rights from this chart: its own first. */}}
{{- define "pi-edge-spark.namespaces" -}}
{{- prepend .Values.operator.namespaces .Release.Namespace | uniq | toYaml -}}
{{- end -}}

{{/* What the operator reads at its start: operator/edge_etl_operator/settings.py */}}
{{- define "pi-edge-spark.settings" -}}
{{- $fullname := include "pi-edge-spark.fullname" . -}}
{{- $sources := dict -}}
{{- range .Values.sources }}{{ $_ := set $sources .name .path }}{{ end -}}
{{- $secrets := list -}}
{{- range .Values.imagePullSecrets }}{{ $secrets = append $secrets .name }}{{ end -}}
sources: {{ toJson $sources }}
statePath: {{ .Values.edge.statePath | quote }}
imagePullSecrets: {{ toJson $secrets }}
port: 8080
lease:
  namespace: {{ .Release.Namespace }}
  name: {{ $fullname }}-operator
apiRequestsPerSecond: {{ int64 .Values.operator.apiRequestsPerSecond }}
{{- with .Values.operator.maxParallelNodes }}
maxParallelNodes: {{ int64 . }}
{{- end }}
edge:
  image: {{ include "pi-edge-spark.image" .Values.images.edge }}
  transformImage: {{ include "pi-edge-spark.image" .Values.images.edgeTransform }}
  pullPolicy: {{ .Values.images.edge.pullPolicy }}
  serviceAccount: {{ $fullname }}-edge
  runAsUser: {{ int64 .Values.edge.runAsUser }}
  runAsGroup: {{ int64 .Values.edge.runAsGroup }}
  workSizeLimit: {{ .Values.edge.workSizeLimit | quote }}
  priorityClassName: {{ .Values.edge.priorityClassName | quote }}
spark:
  image: {{ include "pi-edge-spark.image" .Values.images.spark }}
  pullPolicy: {{ .Values.images.spark.pullPolicy }}
  serviceAccount: {{ $fullname }}-spark
  nodeSelector: {{ toJson .Values.spark.nodeSelector }}
  tolerations: {{ toJson .Values.spark.tolerations }}
  affinity: {{ toJson .Values.spark.affinity }}
  priorityClassName: {{ .Values.spark.priorityClassName | quote }}
{{- if .Values.landing.enabled }}
landing:
  namespace: {{ .Release.Namespace }}
  url: {{ .Values.landing.tlsSecret | empty | ternary "http" "https" }}://{{ include "pi-edge-spark.landingHost" . }}:{{ int64 .Values.landing.port }}
  {{- with .Values.landing.tlsSecret }}
  caSecret: {{ . }}
  {{- end }}
  claim: {{ include "pi-edge-spark.landingClaim" . }}
{{- end }}
{{- end -}}
