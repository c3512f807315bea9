#include "config/settings_values.h"

#include "tests/support/check.h"

#include <stdio.h>
#include <string.h>

#include "base/scope.h"
#include "config/config.h"

static char told[32768];

static void tell(void *context, const char *key, const char *value)
{
    size_t *length = context;
    int more =
        snprintf(told + *length, sizeof told - *length, "%s=%s\n", key, value);
    *length += (size_t)more;
    CHECK(*length < sizeof told);
}

static void tells_every_value_by_its_key(void **state)
{
    (void)state;
    static struct problems problems;
    static const char text[] =
        "node: {name: b, data_dir: /data}\n"
        "seeds: [\"tcp://a:1\", \"tcp://b:2\"]\n"
        "cluster:\n"
        "  id: 000102030405060708090a0b0c0d0e0f\n"
        "  nodes: [{name: a, host: a.example},\n"
        "          {name: b, host: b.example, roles: [voter, shard]}]\n";
    scoped(settings_close) struct settings *settings = NULL;
    size_t length = 0;
    CHECK_OK(
        config_parse(&settings, bytes_of_text(text), "test.yaml", &problems));
    settings_values(settings, tell, &length);
    assert_non_null(strstr(told, "node.name=b\nnode.data_dir=/data\n"));
    assert_non_null(strstr(told, "\nnode.log.level=info\n"));
    assert_non_null(strstr(told, "\nseeds[0]=tcp://a:1\nseeds[1]=tcp://b:2\n"));
    assert_non_null(strstr(told, "\ncluster.shards=128\n"));
    assert_non_null(strstr(told, "\ncluster.nodes[a].host=a.example\n"));
    assert_non_null(strstr(told, "\ncluster.nodes[b].port=7600\n"));
    assert_non_null(strstr(told, "\ncluster.nodes[b].roles=[voter, shard]\n"));
    assert_null(strstr(told, "cluster.nodes[]"));
    assert_null(strstr(told, "cluster.nodes="));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_every_value_by_its_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
