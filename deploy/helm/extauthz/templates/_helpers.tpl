{{- define "extauthz.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "extauthz.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 57 | trimSuffix "-" }}
{{- else if contains (include "extauthz.name" .) .Release.Name }}
{{- .Release.Name | trunc 57 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "extauthz.name" .) | trunc 57 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "extauthz.selectorLabels" -}}
app.kubernetes.io/name: {{ include "extauthz.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "extauthz.labels" -}}
{{ include "extauthz.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "extauthz.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "extauthz.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "extauthz.configMapName" -}}
{{- default (include "extauthz.fullname" .) .Values.existingConfigMap }}
{{- end }}

{{- define "extauthz.check" -}}
{{- if and (not .Values.config) (not .Values.existingConfigMap) }}
{{- fail "no configuration: give the file (--set-file config=extauthz.yaml) or existingConfigMap" }}
{{- end }}
{{- if and .Values.config .Values.existingConfigMap }}
{{- fail "config and existingConfigMap exclude each other" }}
{{- end }}
{{- if not (or .Values.grpc.enabled .Values.http.enabled) }}
{{- fail "grpc and http are both off: nobody could ask" }}
{{- end }}
{{- end }}

{{/* The variables of one listener's TLS: (dict "name" "grpc" "tls" .Values.grpc.tls) */}}
{{- define "extauthz.tlsEnv" -}}
{{- if .tls.secretName }}
- name: EXTAUTHZ_LISTEN_{{ upper .name }}_TLS_CERT_FILE
  value: /etc/extauthz-tls/{{ .name }}/tls.crt
- name: EXTAUTHZ_LISTEN_{{ upper .name }}_TLS_KEY_FILE
  value: /etc/extauthz-tls/{{ .name }}/tls.key
{{- if .tls.requireClientCertificate }}
- name: EXTAUTHZ_LISTEN_{{ upper .name }}_TLS_CLIENT_CA_FILE
  value: /etc/extauthz-tls/{{ .name }}/ca.crt
{{- end }}
{{- end }}
{{- end }}
