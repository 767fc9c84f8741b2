//! What people say happened, where no program says it: a guess at best, and only where nothing better is in the text.

use weir_core::Verdict;

use super::pattern::{Pattern, is_in, pattern};

pattern!(
    CHARGED_TWICE,
    r"(?i)(?:charged|billed) (?:twice|two times|multiple|\d+ times|again)|(?:charge|bill)(?:ed)? me (?:twice|\d+ times)|double[- ]?(?:charg|bill)|(?:重复|多次|两次|二次|又)扣(?:费|款|钱)|扣(?:了|费)(?:两|2|二|三|3|几|多)次|扣(?:了)?(?:两|2|三|3)次(?:费|钱|款)?|多扣|(?:charged|billed) .{0,12}(?:twice|(?:two|three|four|several|multiple|many) times)|扣了我?(?:两|2|二|三|3|几|好几|多)次|(?:all|both|each) .{0,24}(?:were|was|got) (?:billed|charged)"
);
pattern!(
    TASK_RUNNING,
    r"(?i)(?:任务|视频|生图|出图|job|task|video).{0,40}(?:一直|还|still|always|stuck).{0,20}(?:排队|处理中|运行中|生成中|进行中|queued|in[_ ]progress|running|processing|pending)|(?:一直|还在?|stuck (?:at|in)|still) ?(?:排队|处理中|生成中|queued|in[_ ]progress|pending|processing)|(?:job|task|video|image|generation)\w* .{0,24}(?:processing|running|queued|pending|in[_ ]progress) (?:for|since)|(?:进度|progress).{0,10}0 ?%"
);
pattern!(
    TASK_FAILED_CHARGED,
    r"(?i)(?:任务|生成|生图|视频|task|job|video|image).{0,40}(?:失败|failed).{0,40}(?:扣|charged|billed)|(?:扣了?(?:费|钱|款)|charged).{0,30}(?:但|但是|却|but|although).{0,20}(?:失败|failed|没有?(?:结果|图|出))|(?:生成|任务|视频|图).{0,16}失败.{0,16}(?:没|未|不)(?:有|给)?退|(?:task|job|video|image|generation).{0,40}fail\w*.{0,40}(?:deducted|not refunded|no refund|credits? (?:were|was|are) (?:taken|used))"
);
pattern!(
    TASK_AGAIN,
    r"(?i)(?:重复|又|再次?|多次)提交.{0,12}(?:任务|视频|图)|点了(?:好几|多|两|三|[2-9]) ?次.{0,20}(?:生成|提交)|submitted (?:it |the (?:same )?(?:task|job|video) )?(?:twice|again|[2-9] times)|(?:任务|视频|图).{0,16}(?:提交|生成)了?(?:两|2|三|3|好几)(?:次|个|份)|(?:两|2|三|3|几)个(?:一模一样|相同|一样|重复)的.{0,6}(?:任务|视频|图)"
);
pattern!(
    TASK_LOST,
    r"(?i)(?:查不到|找不到|看不到|没有?返回).{0,10}(?:任务|task)|(?:任务|task).{0,12}(?:查不到|丢了|不见了|not found|disappeared|lost)|任务.{0,16}不存在"
);
pattern!(
    BUSY,
    r#"(?i)(?:只(?:显示|提示|返回)|提示|显示|报|返回|弹出|says?|shows?|message[:is ]*)\W{0,6}(?:系统|服务器?|网络|服务)(?:繁忙|忙|异常|开小差)|"(?:msg|message)"\s*:\s*"(?:系统|服务器?|网络|服务)(?:繁忙|忙|异常)|(?:only|just) (?:says?|shows?|get) ["']?(?:system|server|service) (?:is )?busy"#
);
pattern!(NOT_SPINNING_CURL, r"(?i)curl.{0,24}(?:正常|可以|没问题|works?|fine|ok)|(?:works?|fine|ok) (?:in|with|from) curl");
pattern!(
    CURL_FLOWS,
    r"(?i)curl[^\n。]{0,30}(?:正常|可以|没问题|一个字一个字|逐字|陆续|works?|fine|ok)|(?:works?|fine|ok|flows?) (?:in|with|from) curl"
);
pattern!(IN_A_PAGE, r"(?i)网页|浏览器|前端|web ?(?:ui|page|client)|browser|chrome|safari|edge");
pattern!(
    SPINNER,
    r"(?i)一直转圈|转圈圈?|一直(?:在)?加载|卡住不动|不出字|spinn(?:er|ing)|keeps? loading|hangs? forever|stuck loading|never finishes"
);
pattern!(
    BURST,
    r"(?i)(?:一下子|一次性|最后|结束时?|突然).{0,12}(?:全部|一起|全|才)?(?:出来|显示|出现|吐出|返回)|(?:全部|所有)(?:内容|文字)?(?:一起|一次性|同时)(?:出来|显示|返回)|all at once|in one (?:go|burst|chunk)|不是(?:一个字一个字|逐字)|没有打字机效果|no typewriter|not streaming token by token|arrives? at the end|等.{0,10}(?:全部|全都|都|整段)?.{0,4}(?:生成|输出|写)?完.{0,4}才|(?:shows?|comes?|came|appears?|arrives?|dumped|returned)(?: up| back)? (?:all )?at (?:once|the (?:very )?end)"
);
pattern!(
    SILENT,
    r"(?i)(?:流式|stream).{0,24}(?:没有?(?:任何)?(?:输出|内容|数据|返回|反应|响应)|无输出|空白|不出|no (?:output|data|content)|nothing|empty|blank|silent)|(?:没有?|no) ?data ?(?:行|lines?)|returns? (?:nothing|no data) (?:when|with) stream|(?:流式|stream).{0,12}(?:啥|什么)(?:也|都)没"
);
pattern!(
    CUT,
    r"(?i)(?:说|写|输出|回答|生成|回复|流|流式|传).{0,10}(?:到)?一半.{0,8}(?:断|停|没了|中断|卡)|中途(?:就)?(?:断开|中断|断了|停了|断)|(?:输出|回答|回复|流式|流).{0,6}(?:中断|断开|断了|断流|被截断)|(?:cut|cuts|stops?|breaks?|drops?|disconnect\w*) (?:off |out )?(?:mid-?(?:way|stream|sentence|answer)|half-?way|in the middle|partway)|(?:stream|response|connection|output) (?:gets? |is |was )?(?:cut|interrupted|dropped|closed|broken|truncated)|stream ended (?:early|unexpectedly)|(?:cuts?|stops?|stopped|breaks?|broke|ends?|ended|dies|drops?) (?:off )?mid[- ]?(?:way|stream|sentence|answer|word|response)"
);
pattern!(
    NO_END,
    r"(?i)没有?(?:收到|看到)? ?(?:\[DONE\]|结束标记|结束标志)|no (?:\[DONE\]|end marker)|without (?:a )?\[DONE\]|never (?:get|got|see|receive)s? \[DONE\]|(?:收不到|没收到|等不到|看不到|没有)(?:最后的)? ?(?:data: ?)?\[?DONE\]?|never (?:get|got|see|saw|receive)[sd]? (?:a |the )?(?:data: ?)?\[?DONE\]?"
);
pattern!(
    STALLED,
    r"(?i)(?:输出|流|stream|回答).{0,16}(?:停顿|卡顿|停了?\d+ ?秒|停住|stall\w*|pauses?|freez\w+)|(?:停|卡|stall\w*|paus\w+).{0,6}\d+ ?(?:秒|s\b|seconds).{0,8}(?:才|又|再|then|before)|(?:hangs?|freez\w+|stuck) after the first (?:token|chunk|word|event)"
);
pattern!(
    ROUND,
    r"(?i)(?:每次|总是|都|刚好|正好|大概|约|always|exactly|every time|after|at).{0,16}\b(30|60|100|120|300) ?(?:秒|s\b|sec|seconds?).{0,12}(?:就|断|超时|failed|fails?|cut|drop|disconnect|error|504|time)?|(30|60|100|120|300) ?(?:秒|s|seconds?) ?(?:就|整|左右)?(?:断|超时|报错|失败|timeout|disconnect)"
);
pattern!(
    TIMEOUT,
    r"(?i)超时|time[ds]? ?out|响应(?:很|太|特别)慢|等(?:了)?(?:很久|半天|\d+ ?分钟)|长时间(?:无|没有?)(?:响应|反应)|no response|takes? (?:too long|forever)|\b504\b"
);
pattern!(
    RATE,
    r"(?i)\b429\b|频率(?:限制|超限|过高)|限流|请求(?:太|过于)频繁|too many requests|rate.?limit|(?:访问|操作|调用|请求)(?:太|过于|过)频繁"
);
pattern!(
    DAILY,
    r"(?i)(?:今天|今日|当天|每日|当日).{0,8}(?:额度|配额|次数|用完|用光|上限)|daily (?:quota|limit)|(?:requests|tokens) per day|\b[RT]PD\b|每天.{0,8}(?:额度|配额|次数|上限)|(?:exceeded|hit|reached|used up) (?:my |the |your )?daily"
);
pattern!(BALANCE, r"(?i)余额不足|没钱了|欠费|insufficient (?:balance|funds|credit)|out of credits?|额度(?:用完|不足|用光)");
pattern!(KEY, r"(?i)(?:key|密钥|令牌|token).{0,8}(?:无效|不对|错误|失效|不能用|invalid|rejected|not work)|鉴权失败|\b401\b");
pattern!(MODEL, r"(?i)(?:模型).{0,8}(?:不存在|找不到|没有|不可用)|model (?:does not exist|not found|missing)");
pattern!(OVERLOADED, r"(?i)(?:负载|过载|饱和|拥挤)|overloaded|at capacity|\b(?:503|529)\b");
pattern!(CONCURRENCY, r"(?i)并发(?:数)?(?:超|过高|太高|限制|上限)|too many concurrent|concurrency limit");
pattern!(
    CHARGED_LEFT,
    r"(?i)(?:超时|断开|没收到|没有?结果|timeout|no answer|disconnected).{0,30}(?:但|却|还是|but|still|yet).{0,16}(?:扣|charged|billed)|(?:扣了?(?:费|钱|款)|charged|billed).{0,20}(?:没(?:有)?(?:收到|拿到|返回|结果|内容)|no (?:answer|response|result|output)|nothing)|time[ds]? ?out.{0,40}(?:but|still|yet).{0,16}(?:charged|billed)|超时.{0,30}(?:但|却|还是|账单).{0,16}扣|(?:断开|取消|关闭).{0,40}(?:计费|扣费|扣钱)"
);
pattern!(
    SHARED,
    r"(?i)(?:同事|别人|其他人|另一个(?:程序|脚本)|someone else|another (?:team|script|caller)).{0,20}(?:占|用(?:完|光|掉|了)|hogg|uses? (?:up|most))|(?:共用|共享|合用).{0,8}(?:key|密钥|令牌|账号).{0,40}(?:429|限流|限制|额度|超限)|(?:429|限流|rate.?limit).{0,80}(?:shar\w+ (?:the |one |a )?(?:same )?(?:api )?key|same (?:api )?key)|shar\w+ (?:the |one |a )?(?:same )?(?:api )?key.{0,60}(?:429|limit)"
);
pattern!(
    NO_STREAM_FLAG,
    r"(?i)(?:没有?|忘了?|未)(?:发送|传|带|开启?|打开|设置?) ?stream|(?:not|n't) (?:send|set|pass|enable)\w* [\x22'`]?stream|stream ?(?:flag|option)? ?(?:is )?(?:missing|not set|off|false).{0,20}(?:client|客户端)?"
);

pattern!(
    HALF,
    r"(?i)(?:到|在)?一半.{0,8}(?:断|停|没了|中断|卡)|中途.{0,4}(?:断|停)|(?:cut|stops?|breaks?|drops?) (?:off |out )?(?:mid-?(?:way|stream|sentence|answer)|half-?way|in the middle|partway)|(?:cuts?|stops?|stopped|breaks?|broke|ends?|ended|dies|drops?) (?:off )?mid[- ]?(?:way|stream|sentence|answer|word|response)"
);

pattern!(
    HOP,
    r"(?i)(?:直连|绕过代理|不走代理|关掉?代理)[^。\n]{0,12}(?:正常|没问题|可以|就好)|\b(?:direct(?:ly)?|without (?:the |our )?(?:proxy|vpn))[^.\n]{0,16}(?:fine|ok|okay|works?|good)|(?:fine|ok(?:ay)?|works?|streams? well)[^.\n]{0,36}\bdirect(?:ly)?\b|直接(?:访问|调用?|连|请求)[^。\n]{0,12}(?:正常|没问题|可以|就好)"
);

pattern!(BASE_URL, r"(?i)/v1/v1\b|(?:base[_ ]?url|接口(?:地址)?|地址|填(?:了|的是)?)[^\n]{0,16}https?://[^\s,，]+/chat/completions");

pattern!(
    RAMP,
    r"(?i)(?:并发|线程|进程).{0,16}(?:提|加|升|涨|调|开)(?:高|升|大)?(?:到|了|为|成).{0,24}(?:429|限流)|(?:ramp|scal|increas|rais|bump|went)\w* .{0,24}(?:concurrency|parallel|workers|threads|requests).{0,40}(?:429|rate)"
);
pattern!(
    NOT_A_STREAM,
    r"(?i)stream.{0,24}(?:返回|得到|收到|拿到|g[eo]t|returns?|receiv\w+|comes?).{0,24}(?:整|一|完整|one|an?|single|whole|plain|normal).{0,12}json"
);
pattern!(
    GZIP,
    r"(?i)(?:关|禁用|去|停)(?:掉|闭|了|用)? ?(?:gzip|压缩)|(?:disabl\w+|turn(?:ed|ing)? off|without|remov\w+) (?:the )?(?:gzip|compression|accept-encoding)"
);
pattern!(
    PROXY_ON,
    r"(?i)(?:梯子|vpn|代理|clash|v2ray|surge|加速器)[^。\n]{0,16}(?:连不上|无法连接|不能用|打不开)|(?:vpn|proxy)[^.\n]{0,24}(?:can(?:no|')t connect|cannot reach|fails? to connect)|(?:turn(?:ed|ing)? off|disabl\w+|quit) (?:my |the )?(?:vpn|proxy)[^.\n]{0,30}(?:works?|fine|ok)|unset\w* (?:the )?https?_proxy"
);
pattern!(
    HTML,
    r"(?i)返回(?:的)?(?:是|了)?.{0,6}(?:网页|html|登录页)|(?:g[eo]t|returns?|receiv\w+|see) (?:back )?(?:an? |the )?html|html (?:\w+ )?page .{0,12}instead of"
);
pattern!(
    CONTENT,
    r"(?i)敏感(?:信息|词|内容)|(?:内容|输入|输出).{0,6}(?:违规|违法|不当|不合规)|内容(?:审核|安全)|inappropriate content|safety system|content (?:policy|filter|moderation)"
);
pattern!(
    TOO_LONG,
    r"(?i)(?:请求体|请求|文件|图片|输入|上下文|提示词?|prompt|body|payload|file|image|context|input) ?(?:is |was )?(?:太|过|too )(?:大|长|large|long|big)|(?:context|token) (?:length|window|limit) (?:was |is )?exceeded|超(?:过|出)(?:了)?.{0,8}(?:最大)?(?:上下文|长度|token)"
);
pattern!(
    ROUND_MINUTES,
    r"(?i)(?:每次|总是|都|刚好|正好|等满|满|always|exactly|every time|after|at) ?(?:一|1|两|2|五|5|an?|one|two|five) ?(?:分钟|minutes?)\b?.{0,8}(?:就|断|超时|报错|失败|fail|cut|drop|disconnect|error|50[24]|time)"
);

pattern!(
    CLOCK,
    r"(?i)(?:系统|电脑|本机|服务器)(?:的)?(?:时间|时钟).{0,10}(?:慢|快|不准|不对|错)|\bclock (?:is |was )?.{0,20}(?:behind|ahead|wrong|off|fast|slow)\b"
);
pattern!(PIECES, r"(?i)(?:一段一段|大段大段|一块一块|几行几行)|in (?:big |large )?(?:chunks|blocks|bursts) (?:instead|rather)");
pattern!(ASKED_WHOLE, r#"(?i)"?stream"?\s*[:=]\s*"?false.{0,60}(?:打字机|逐字|一次性|typewriter|token by token|at once)"#);

/// The surer words first: a described stream before a worry about a charge, that before a bare "timeout".
static SYMPTOMS: [(&Pattern, Verdict); 38] = [
    (&BASE_URL, Verdict::BaseUrlMalformed),
    (&PROXY_ON, Verdict::LocalProxyOn),
    (&CLOCK, Verdict::ClockWrong),
    (&HTML, Verdict::NotTheApi),
    (&KEY, Verdict::KeyUnknown),
    (&MODEL, Verdict::ModelNotFound),
    (&BALANCE, Verdict::BalanceSpent),
    (&DAILY, Verdict::QuotaSpent),
    (&RAMP, Verdict::RampTooFast),
    (&CONCURRENCY, Verdict::ConcurrencySpent),
    (&SHARED, Verdict::SharedKeyTaken),
    (&RATE, Verdict::RateLimitedNoHint),
    (&TASK_FAILED_CHARGED, Verdict::TaskFailedCharged),
    (&TASK_AGAIN, Verdict::TaskDuplicate),
    (&TASK_LOST, Verdict::TaskUnknown),
    (&TASK_RUNNING, Verdict::TaskRunning),
    (&BUSY, Verdict::StatusHidden),
    (&CONTENT, Verdict::ContentRefused),
    (&TOO_LONG, Verdict::RequestTooLong),
    (&GZIP, Verdict::GzipBuffered),
    (&NOT_A_STREAM, Verdict::NotAStream),
    (&HOP, Verdict::HopBreaksStream),
    (&ASKED_WHOLE, Verdict::ClientNotStreaming),
    (&PIECES, Verdict::PartlyBuffered),
    (&BURST, Verdict::StreamBuffered),
    (&SILENT, Verdict::StreamSilent),
    (&HALF, Verdict::StreamCut),
    (&NO_END, Verdict::EndMarkerMissing),
    (&STALLED, Verdict::StreamStalled),
    (&CHARGED_LEFT, Verdict::ProducedNotDelivered),
    (&CHARGED_TWICE, Verdict::RetriesCharged),
    (&ROUND, Verdict::ProxyCut),
    (&ROUND_MINUTES, Verdict::ProxyCut),
    (&CUT, Verdict::StreamCut),
    (&NO_STREAM_FLAG, Verdict::ClientNotStreaming),
    (&NOT_SPINNING_CURL, Verdict::ClientSpinner),
    (&SPINNER, Verdict::ClientSpinner),
    (&OVERLOADED, Verdict::UpstreamOverloaded),
];

/// "It timed out" says least of all: what a program only hints at goes before it.
static LAST: (&Pattern, Verdict) = (&TIMEOUT, Verdict::ProxyCut);

/// What the words of a person point to, the likelier first.
pub(super) fn told(text: &str) -> Vec<Verdict> {
    let mut found: Vec<Verdict> = Vec::new();
    // All at once in a page and word by word in curl: what a browser adds is compression.
    if is_in(&BURST, text) && is_in(&CURL_FLOWS, text) && is_in(&IN_A_PAGE, text) {
        found.push(Verdict::GzipBuffered);
    }
    for (pattern, verdict) in &SYMPTOMS {
        if is_in(pattern, text) && !found.contains(verdict) {
            found.push(*verdict);
        }
    }
    found
}

/// What is left when neither a person's words nor a program's hints point anywhere.
pub(super) fn at_last(text: &str) -> Option<Verdict> {
    is_in(LAST.0, text).then_some(LAST.1)
}

/// Seconds at which a hop usually gives up, if the text names one of them.
pub(super) fn round_time(text: &str) -> Option<u32> {
    super::pattern::first(&ROUND, text).and_then(|digits| digits.parse().ok())
}
