#include "admin/task_pool_facts.h"

#include "admin/answer.h"
#include "base/scope.h"

#include <string.h>

enum exit_code task_pool_facts_ask(struct task_pool_facts *out,
                                   struct remote *remote,
                                   const char *pool)
{
    scoped(answer_clear) json_t *answer = NULL;
    struct remote_question question = {
        .verb = "pool.show", .args = json_pack("{s:s}", "name", pool)};
    enum exit_code code = remote_ask(remote, &question, &answer);
    if (!code) {
        out->is_command =
            strcmp(answer_name(answer, "definition.handler"), "exec") == 0;
        out->payload_bytes_max =
            (uint32_t)answer_number(answer, "definition.payload_bytes_max");
    }
    return code;
}
