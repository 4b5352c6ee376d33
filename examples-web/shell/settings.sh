# What the scripts of this folder take from the environment, for `.`:
#
#   KEY       an operator's API key (data/operator.key).
#   THNG      a thng's id; without it a new one is made.
#   HTTP      the server's HTTP address, 127.0.0.1:8080 by default.
#   MQTT      its MQTT address, 127.0.0.1:1883 by default.

: "${KEY:?Set KEY to an operator API key: export KEY=\$(cat data/operator.key)}"
: "${HTTP:=127.0.0.1:8080}"
: "${MQTT:=127.0.0.1:1883}"

# rest METHOD PATH [BODY]: prints what the server answers, also when it refuses, and then fails.
rest() {
  curl --silent --show-error --fail-with-body --request "$1" \
    --header "Authorization: $KEY" --header 'Content-Type: application/json' \
    ${3:+--data "$3"} "http://$HTTP$2"
}

if [ -z "${THNG:-}" ]; then
  created=$(rest POST /thngs '{"name": "Shell example"}') || { echo "$created" >&2; exit 1; }
  THNG=$(echo "$created" | sed 's/.*"id":"\([^"]*\)".*/\1/')
fi
