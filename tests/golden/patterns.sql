-- Regular expressions, degrees, readers of JSON.
select substring('xyz' from 'xy|xyz'), regexp_match('foobar','foo|foobar'), regexp_replace('aXXb','X|XX','-'), regexp_match('abcd','(ab|a)(bcd|cd)'), substring('aaa' from 'a*?'), substring('aaa' from 'a+?a'), regexp_match('xyz','x(y|yz)?'), regexp_matches('foobarbequebazilbarfbonk', '(b[^b]+)(b[^b]+)', 'g');
select 'a b' ~ 'a\sb', 'ab' ~ 'a\bb', E'a\bb' ~ 'a\bb', 'aéb' ~ 'a\u00e9b', 'A' ~ '\x41', '-' ~ '[\w-]', 'a]' ~ '[]]', 'a' ~ '[[:<:]]a[[:>:]]', 'ab' ~ '^(?:a)b$', 'ab' ~ '(?!c)ab', 'aa' ~ '^(a)\1$', 'AB' ~* 'ab', 'ab' ~ '***=a.', 'a.' ~ '***=a.', 'abc' ~ 'a.c', 'tel' ~ '(?x) t e l';
select regexp_split_to_array('the quick brown', '\s+'), regexp_split_to_array('abc', ''), regexp_replace('abc', '.', '\&\&', 'g'), regexp_replace('foo','o+?','0'), regexp_instr('ABCDEFGHI','D(..)',1,1,0,'i',1), regexp_substr('ABCDEF','c(.)',1,1,'i',1), regexp_count('ABCABC','abc',1,'i'), regexp_like('a','A');
select sind(30), cosd(60), tand(45), sind(45), cosd(120), tand(-45), tand(90), cotd(45), asind(0.5), acosd(0.5), atand(1), atan2d(1,1), sind(1e-300), tand(0), asind(-1), acosd(-0.3);
select round(1.5,20000) is not null, 45::float8/'nan'::float4, 'a,b'::regclass;
select date_trunc('day','infinity'::timestamptz), timestamptz 'infinity' at time zone 'UTC';
select ''::regclass;
select json_each('5');
select jsonb_array_elements('{}');
select json_object_keys('[1]');
