"""Names that columns have in the files of shops, services and research, by what `intentflow init` takes them for.

Written without case, blanks and underscores, in the order of preference; `guess` compares them.
"""

import re

from feature_repo import columns

EVENT_NAMES: dict[str, tuple[str, ...]] = {
    columns.USER_ID: (
        "userid", "user", "customerid", "customer", "householdid", "household", "memberid", "membernumber", "memberno",
        "clientid", "visitorid", "accountid", "buyerid", "listenerid", "readerid", "viewerid", "reviewerid", "personid",
        "uid", "userno", "usernumber", "customerno", "customernumber", "custid", "cardid", "cardno", "cookieid",
        "deviceid", "fullvisitorid", "username", "login", "msno", "member", "client", "account", "kunde", "kundennr",
        "kundennummer", "kundenid", "usuario", "cliente", "utilisateur", "client_id", "用户id", "用户编号", "用户号",
        "用户", "用户名", "会员id", "会员编号", "会员号", "会员卡号", "会员", "客户id", "客户编号", "客户号", "客户",
        "顾客id", "顾客编号", "顾客", "买家id", "买家", "学生id", "读者id",
    ),
    columns.ITEM_ID: (
        "itemid", "item", "productid", "product", "sku", "skuid", "articleid", "article", "movieid", "trackid",
        "songid", "artistid", "albumid", "videoid", "newsid", "bookid", "contentid", "stockcode", "asin", "isbn",
        "goodsid", "listingid", "courseid", "showid", "parentasin", "iid", "pid", "animeid", "gameid", "appid",
        "businessid", "venueid", "locationid", "poiid", "recipeid", "postid", "adid", "docid", "pageid", "friendid",
        "productcode", "itemcode", "itemno", "articleno", "artikel", "artikelnr", "artikelnummer", "producto",
        "produit", "itemname", "productname", "itemdescription", "track", "song", "artist", "movie", "book",
        "商品id", "商品编号", "商品编码", "商品号", "商品代码", "商品", "物品id", "物品编号", "物品", "产品id",
        "产品编号", "产品", "货号", "歌曲id", "歌曲", "视频id", "视频", "电影id", "电影", "文章id", "文章", "图书id",
        "课程id", "商品名称", "产品名称", "品名",
    ),
    columns.TIMESTAMP: (
        "timestamp", "eventtime", "eventtimestamp", "time", "datetime", "ts", "occurredat", "transactiontimestamp",
        "purchasedat", "invoicedate", "orderdate", "orderedat", "transactiondate", "eventdate", "tdat", "date", "day",
        "createdat", "unixtime", "unixreviewtime", "timestampms", "purchasedate", "purchasetime", "ordertime", "paidat",
        "playedat", "watchedat", "ratedat", "viewedat", "clicktime", "visittime", "checkintime", "reviewdate",
        "reviewtime", "datum", "zeit", "zeitpunkt", "bestelldatum", "kaufdatum", "fecha", "dateachat", "时间戳", "时间",
        "日期", "购买时间", "购买日期", "下单时间", "下单日期", "订单时间", "订单日期", "交易时间", "交易日期",
        "支付时间", "付款时间", "发生时间", "行为时间", "点击时间", "播放时间", "创建时间",
    ),
    columns.EVENT: (
        "event", "eventtype", "eventname", "action", "actiontype", "behavior", "behaviortype", "behaviour",
        "interactiontype", "activity", "行为类型", "行为", "事件类型", "事件", "动作", "操作类型", "操作",
    ),
    columns.SESSION_ID: (
        "sessionid", "session", "usersession", "basketid", "basket", "orderid", "invoiceno", "invoice",
        "transactionid", "visitid", "cartid", "receiptid", "ordernumber", "orderno", "invoicenumber", "bestellnr",
        "bestellnummer", "订单编号", "订单号", "订单id", "会话id", "会话", "小票号",
    ),
    columns.QUANTITY: (
        "quantity", "qty", "units", "count", "quantitysold", "plays", "playcount", "listens", "listencount",
        "viewcount", "clicks", "times", "frequency", "amountofitems", "menge", "anzahl", "cantidad", "weight", "数量",
        "件数", "购买数量", "次数", "播放次数", "点击次数",
    ),
    columns.VALUE: (
        "value", "salesvalue", "amount", "revenue", "spend", "total", "sales", "price", "unitprice", "totalprice",
        "totalamount", "linetotal", "betrag", "umsatz", "preis", "importe", "precio", "金额", "总金额", "总价",
        "销售额", "实付金额", "支付金额", "价格", "单价",
    ),
    columns.DISCOUNT: ("discount", "discountamount", "rabatt", "折扣", "优惠金额"),
}  # fmt: skip
ITEM_NAMES: dict[str, tuple[str, ...]] = {
    columns.ITEM_ID: (*EVENT_NAMES[columns.ITEM_ID], "id", "编号"),
    columns.TITLE: (
        "title", "name", "productname", "itemname", "prodname", "description", "headline", "itemdescription",
        "movietitle", "songname", "trackname", "bezeichnung", "标题", "名称", "商品名称", "产品名称", "品名", "歌名",
    ),
    columns.CATEGORY: (
        "category", "categoryname", "productcategory", "categorycode", "maincategory", "department", "section",
        "productgroupname", "categoryid", "class", "itemcategory", "kategorie", "warengruppe", "categoria", "categorie",
        "类别", "类目", "分类", "品类", "商品类别", "商品类目", "商品分类", "类别id", "类目id", "商品类目id", "频道",
    ),
    columns.BRAND: ("brand", "brandname", "manufacturer", "artist", "publisher", "marke", "品牌", "作者", "歌手"),
    columns.PRICE: ("price", "unitprice", "listprice", "preis", "价格", "单价"),
}  # fmt: skip
LEVELS = {  # what intents may be about, beside the category: the name there, ours here
    "genres": "genres", "genre": "genre", "tags": "tags", "topics": "topics", "topic": "topic",
    "producttype": "product_type", "type": "type", "subcategory": "sub_category", "keywords": "keywords",
    "标签": "tags", "类型": "type", "风格": "genre", "子类别": "sub_category", columns.BRAND: columns.BRAND,
}  # fmt: skip
PAIRS = (  # who acts, and on whom or what: only together do such names mean something
    ("src", "dst"), ("srcid", "dstid"), ("source", "target"), ("sourceid", "targetid"), ("from", "to"),
    ("fromid", "toid"), ("fromnode", "tonode"), ("fromnodeid", "tonodeid"), ("fromuser", "touser"),
    ("fromuserid", "touserid"), ("sender", "receiver"), ("sender", "recipient"), ("senderid", "receiverid"),
    ("senderid", "recipientid"), ("follower", "followee"), ("followerid", "followeeid"), ("rater", "ratee"),
    ("user1", "user2"), ("发送者", "接收者"), ("关注者", "被关注者"),
)  # fmt: skip
STARS = ("rating", "ratings", "stars", "star", "score", "overall", "ratingscore", "bookrating", "评分", "打分", "星级")
OFTEN = (  # of the names of quantities: how often something happened, and no pieces of a line
    "plays", "playcount", "listens", "listencount", "viewcount", "clicks", "times", "frequency", "weight", "次数",
    "播放次数", "点击次数",
)  # fmt: skip
UNIT_PRICES = ("unitprice", "priceperunit", "pieceprice", "itemprice", "einzelpreis", "stückpreis", "单价")
PRICES = ("price", "preis", "precio", "价格")


def plain(column: str) -> str:
    """Return a name as names are compared.

    >>> plain("Customer ID"), plain("用户_ID")
    ('customerid', '用户id')
    """
    return re.sub(r"[\W_]", "", column.lower())
