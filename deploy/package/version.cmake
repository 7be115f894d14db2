# The version of the sources, by git:
#   SPARSED_VERSION          that of the last tag vX.Y.Z, or of project() before the first; without
#                            git what -D gives
#   SPARSED_PACKAGE_VERSION  the same, of which a commit after a tag is a later one, and a commit
#                            before the first tag an earlier one
#   SPARSED_COMMIT           as `git describe` names it; unknown without git, and then -D gives it
#   SPARSED_DATE             the commit's, as Debian's changelogs have it
function(sparsed_git result)
  execute_process(COMMAND git -C ${CMAKE_SOURCE_DIR} ${ARGN}
    OUTPUT_VARIABLE output OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  set(${result} "${output}" PARENT_SCOPE)
endfunction()

sparsed_git(described describe --always --dirty --abbrev=12)
if(described)
  set(SPARSED_VERSION ${PROJECT_VERSION})
  set(SPARSED_PACKAGE_VERSION ${PROJECT_VERSION})
  set(SPARSED_COMMIT ${described})
  sparsed_git(SPARSED_DATE log -1 --format=%aD)
  sparsed_git(tag describe --tags --match "v[0-9]*" --exclude "*-*" --abbrev=12)
  if(tag MATCHES "^v([0-9.]+)(-([0-9]+)-g([0-9a-f]+))?$")
    set(SPARSED_VERSION ${CMAKE_MATCH_1})
    set(SPARSED_PACKAGE_VERSION ${CMAKE_MATCH_1})
    if(CMAKE_MATCH_3)
      string(APPEND SPARSED_PACKAGE_VERSION "+${CMAKE_MATCH_3}.g${CMAKE_MATCH_4}")
    endif()
  else()
    sparsed_git(commits rev-list --count HEAD)
    sparsed_git(commit rev-parse --short=12 HEAD)
    string(APPEND SPARSED_PACKAGE_VERSION "~${commits}.g${commit}")
  endif()
else()
  if(NOT SPARSED_VERSION)
    set(SPARSED_VERSION ${PROJECT_VERSION})
  endif()
  set(SPARSED_PACKAGE_VERSION ${SPARSED_VERSION})
  if(NOT SPARSED_COMMIT)
    set(SPARSED_COMMIT unknown)
  endif()
  set(SPARSED_DATE "Thu, 01 Jan 1970 00:00:00 +0000")
endif()
