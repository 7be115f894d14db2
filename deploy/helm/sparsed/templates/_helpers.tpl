{{- define "sparsed.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What never changes: a Deployment's selector cannot. */}}
{{- define "sparsed.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sparsed.labels" -}}
{{ include "sparsed.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: server
app.kubernetes.io/part-of: sparsed
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "sparsed.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* config.json. The chart's own keys go before those of the values. */}}
{{- define "sparsed.config" -}}
{{- $own := dict "model" .Values.model.path "grpc_address" "0.0.0.0:8001" "admin_address" "0.0.0.0:8002" -}}
{{- if .Values.tls.secretName -}}
{{- $_ := set $own "tls_cert" "/etc/sparsed/tls/tls.crt" -}}
{{- $_ := set $own "tls_key" "/etc/sparsed/tls/tls.key" -}}
{{- if .Values.tls.clientCa -}}
{{- $_ := set $own "tls_client_ca" "/etc/sparsed/tls/ca.crt" -}}
{{- end -}}
{{- end -}}
{{- if .Values.tokens.secretName -}}
{{- $_ := set $own "auth_token_file" "/etc/sparsed/tokens/tokens" -}}
{{- end -}}
{{- mustMerge $own .Values.config | mustToPrettyJson -}}
{{- end -}}

{{/* The volume at /models; nothing where the model is the image's. */}}
{{- define "sparsed.modelVolume" -}}
{{- with .Values.model -}}
{{- if eq .source "pvc" }}
persistentVolumeClaim:
  claimName: {{ required "model.pvc.claimName" .pvc.claimName }}
  readOnly: true
{{- else if eq .source "hostPath" }}
hostPath:
  path: {{ required "model.hostPath.path" .hostPath.path }}
  type: Directory
{{- else if eq .source "download" }}
emptyDir:
  sizeLimit: {{ .download.sizeLimit }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Of every container. */}}
{{- define "sparsed.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}
