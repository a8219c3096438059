# What actions/checkout does with git: init, fetch no more than was asked for, check out.
set -euo pipefail
ref=$REF
commit=
if [ -z "$ref" ] && [ "$REPOSITORY" = "$GITHUB_REPOSITORY" ]; then
  ref=$GITHUB_REF commit=$GITHUB_SHA # even when the branch has moved on since
fi
[[ $ref =~ ^[0-9a-f]{40}$ ]] && commit=$ref ref=

mkdir -p "$GITHUB_WORKSPACE/$FOLDER"
cd "$GITHUB_WORKSPACE/$FOLDER"
find . -mindepth 1 -maxdepth 1 -exec rm -rf {} +
git init --quiet --initial-branch=main .
git remote add origin "$GITHUB_SERVER_URL/$REPOSITORY.git"
key=http.$GITHUB_SERVER_URL/.extraheader
credentials=$(printf 'x-access-token:%s' "$TOKEN" | base64 | tr -d '\n')
echo "::add-mask::$credentials"
git config "$key" "AUTHORIZATION: basic $credentials"

if [ -n "$ref" ] && [ "${ref#refs/}" = "$ref" ]; then # a bare name: a branch, else a tag
  found=$(git ls-remote origin "refs/heads/$ref" "refs/tags/$ref" | head -n 1 | cut -f 2)
  [ -n "$found" ] || { echo "A branch or tag with the name '$ref' could not be found"; exit 1; }
  ref=$found
fi
case $ref in
  refs/heads/*) target=refs/remotes/origin/${ref#refs/heads/} ;;
  refs/pull/*) target=refs/remotes/${ref#refs/} ;;
  *) target=$ref ;;
esac
wanted=()
if [ "$DEPTH" = 0 ]; then
  wanted+=("+refs/heads/*:refs/remotes/origin/*" "+refs/tags/*:refs/tags/*")
  shallow=()
else
  shallow=(--depth="$DEPTH")
  [ "$TAGS" = true ] && wanted+=("+refs/tags/*:refs/tags/*")
fi
if [ -z "$ref" ]; then
  wanted+=("$commit")
elif [ "$DEPTH" != 0 ] || [ "${ref#refs/pull/}" != "$ref" ]; then
  wanted+=("+${commit:-$ref}:$target")
fi
git -c protocol.version=2 fetch --quiet --no-tags --prune "${shallow[@]}" origin "${wanted[@]}"
[ -z "$ref" ] || [ -z "$commit" ] || git update-ref "$target" "$commit"

case $ref in
  "") git checkout --quiet --detach "$commit" ;;
  refs/heads/*) git checkout --quiet --force -B "${ref#refs/heads/}" "$target" ;;
  *) git checkout --quiet --force --detach "$target" ;;
esac
[ "$PERSIST" = true ] || git config --unset-all "$key"
echo "ref=$REF" >> "$GITHUB_OUTPUT"
echo "commit=$(git rev-parse HEAD)" >> "$GITHUB_OUTPUT"
git log -1 --format='HEAD is now at %h %s'
