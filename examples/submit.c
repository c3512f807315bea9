/*
 * Submit one task from a program that is no member of the cluster, and print
 * what comes of it.
 *
 *     submit CONFIG POOL PAYLOAD
 */

#include "troupe/client.h"
#include "troupe/tasks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print(void *context, const struct troupe_result *result)
{
    (void)context;
    printf("%s after %u attempts: %.*s%s\n", troupe_state_name(result->state),
           result->attempts, (int)result->output_length,
           (const char *)result->output, result->why);
}

int main(int count, char **values)
{
    struct troupe *troupe = NULL;
    struct troupe_why why;
    struct troupe_receipt receipt;
    if (count != 4) {
        fprintf(stderr, "Usage: submit CONFIG POOL PAYLOAD\n");
        return EXIT_FAILURE;
    }
    struct troupe_client_options options = {.config = values[1]};
    struct troupe_spec spec = {.pool = values[2],
                               .payload = values[3],
                               .payload_length = strlen(values[3]) + 1};
    if (troupe_client_open(&troupe, &options, &why)) {
        fprintf(stderr, "submit: %s\n", why.text);
        return EXIT_FAILURE;
    }
    enum troupe_error error = troupe_submit(troupe, &spec, 1, 10000, &receipt);
    if (!error) {
        error = troupe_await(troupe, &receipt.id, 1, 60000, print, NULL);
    }
    if (error) {
        fprintf(stderr, "submit: %s\n", troupe_error_text(error));
    }
    troupe_close(&troupe);
    return error ? EXIT_FAILURE : EXIT_SUCCESS;
}
