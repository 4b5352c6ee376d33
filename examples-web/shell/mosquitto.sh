#!/bin/sh
# Mosquitto's clients (Debian: mosquitto-clients): watches a property, publishes it three times, and ends when all of it
# has arrived. settings.sh says what is taken from the environment.
set -eu
. "$(dirname "$0")/settings.sh"

host=${MQTT%:*}
port=${MQTT##*:}
topic="/thngs/$THNG/properties/temperature"

# With -q 1 this returns when the value is on disk.
publish() {
  mosquitto_pub -h "$host" -p "$port" -u authorization -P "$KEY" -q 1 -t "$topic" -m "[{\"value\": $1}]"
}

publish 36.9

# pubStates=1 brings the value that is there, which says that the subscription is made. -C 4 ends after four messages, and
# -W 60 after a minute, whatever happens. What follows is published as soon as the first line is printed.
mosquitto_sub -h "$host" -p "$port" -u authorization -P "$KEY" -q 1 -v -C 4 -W 60 -t "$topic?pubStates=1" | {
  received=0
  while read -r line; do
    echo "$line"
    received=$((received + 1))
    [ "$received" -gt 1 ] || for value in 37.2 37.5 37.8; do publish "$value"; done
  done
  [ "$received" -eq 4 ]
}
