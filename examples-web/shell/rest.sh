#!/bin/sh
# curl alone: writes a property three times, and reads back what is there and what was there. settings.sh says what is
# taken from the environment. Subscribers of the property receive each write.
set -eu
. "$(dirname "$0")/settings.sh"

property="/thngs/$THNG/properties/temperature"

for value in 37.2 37.5 37.8; do
  printf 'Written: '
  rest PUT "$property" "[{\"value\": $value}]"
  echo
done

printf 'The thng has: '
rest GET "/thngs/$THNG/properties"
echo

printf 'The history, newest first: '
rest GET "$property"
echo
